"""Write the generated parts of docs/reference and CONTRIBUTING.md: `python -m tests.docs.generate`, or `make docs`.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`; what is around it is written by hand.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from rollbook import config, search
from rollbook.api import openapi
from rollbook.api.app import ROUTES
from rollbook.api.edge import Route
from rollbook.cli import rollbook_command
from rollbook.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = ROOT / "docs" / "reference"
SOURCE = ROOT / "src" / "rollbook"
PAGES = (*sorted(REFERENCE.glob("*.md")), ROOT / "CONTRIBUTING.md")
"""The pages that have generated parts."""
WORDS: Mapping[object, str] = {str: "text", int: "whole number", float: "number"}


def main() -> None:
    """Rewrite every page whose generated parts are out of date."""
    for page in PAGES:
        text = page.read_text("utf-8")
        if (new := filled(text)) != text:
            page.write_text(new, "utf-8")
            print(f"Wrote {page.relative_to(ROOT)}.")


def filled(text: str) -> str:
    """A page with its generated parts made anew."""
    return re.sub(
        r"(<!-- generated: ([\w ]+) -->\n).*?(<!-- end -->)",
        lambda match: f"{match[1]}\n{PARTS[match[2]]()}\n\n{match[3]}",
        text,
        flags=re.DOTALL,
    )


def settings() -> str:
    """Every setting."""
    rows = []
    for setting, kind in config.all_settings():
        meaning = setting.metadata["help"]
        rows.append(
            [
                _code(config.flag(setting.name)),
                _code(config.variable(setting)),
                f"{WORDS[kind]}{_range(setting.metadata['low'], setting.metadata['high'])}",
                _code(setting.default),
                meaning,
            ]
        )
    return _table(["Flag", "Variable", "Type", "Default", "Meaning"], rows)


def commands() -> str:
    """Every command with its options."""
    return "\n\n".join(_command(name, command) for name, command in all_commands())


def routes() -> str:
    """The route table."""
    rows = [
        [
            _code(route.method),
            _code(route.path),
            _sentence(route),
            {None: "no token", "": "any token"}.get(route.right, _code(route.right)),
            str(route.status),
            "yes" if route.guarded else "",
            "<br>".join(_code(text) for text in route.refusals),
        ]
        for route in ROUTES
    ]
    return _table(
        ["Method", "Path", "What it does", "Right", "Success", "Duplicate guard", "422 texts of its own"],
        rows,
    )


def open_routes() -> str:
    """The routes of the service itself that the OpenAPI document has."""
    rows = [[_code("GET"), _code(path), summary, media] for path, _, summary, media, _ in openapi.OPEN]
    return _table(["Method", "Path", "What it tells", "Content type"], rows)


def parameters() -> str:
    """Every query parameter, and where it goes."""
    where: dict[tuple[str, str, str], list[str]] = {}
    for path, operations in openapi.document(ROUTES)["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "query":
                    key = (parameter["name"], parameter["description"], _values(parameter["schema"]))
                    where.setdefault(key, []).append(_code(f"{method.upper()} {path}"))
    rows = [
        [_code(name), "<br>".join(found), values, about] for (name, about, values), found in where.items()
    ]
    return _table(["Parameter", "Where", "Values", "Meaning"], rows)


def columns() -> str:
    """What the search endpoints search and sort by."""
    rows = [
        [
            _code(route.path),
            _code(name),
            ", ".join(map(_code, column.aliases)),
            " ".join(map(_code, column.operators)),
            "yes" if column.sortable else "",
        ]
        for route in ROUTES
        for name, column in route.query.columns.items()
    ]
    return _table(["Search", "Field", "Also called", "Operators", "Can sort"], rows)


def metrics() -> str:
    """Every metric."""
    rows = []
    for family in _families():
        labels = sorted({name for sample in family.samples for name in sample.labels} - {"le"})
        name = f"{family.name}_total" if family.type == "counter" else family.name
        rows.append([_code(name), family.type, ", ".join(map(_code, labels)), family.documentation])
    return _table(["Metric", "Type", "Labels", "Meaning"], rows)


def modules() -> str:
    """Every module, folder by folder, with what it is for."""
    folders: dict[str, list[Path]] = {}
    for path in all_modules():
        folders.setdefault(path.parent.relative_to(SOURCE).as_posix(), []).append(path)
    return "\n\n".join(_folder(name, paths) for name, paths in sorted(folders.items()))


def folders() -> str:
    """Every folder of modules, with what it is for."""
    rows = [
        [_code(f"{path.parent.relative_to(SOURCE).as_posix()}/"), purpose(path)]
        for path in all_modules()
        if path.name == "__init__.py" and path.parent != SOURCE
    ]
    return _table(["Folder", "What it is for"], rows)


PARTS: Mapping[str, Callable[[], str]] = {
    "folders": folders,
    "modules": modules,
    "settings": settings,
    "commands": commands,
    "routes": routes,
    "open routes": open_routes,
    "query parameters": parameters,
    "search fields": columns,
    "metrics": metrics,
}


def all_commands(
    group: click.Group = rollbook_command, prefix: str = "rollbook"
) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, with its full name."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from all_commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def all_modules() -> list[Path]:
    """Every module of the package."""
    return sorted(SOURCE.rglob("*.py"))


def purpose(module: Path) -> str:
    """The first sentence of a module's docstring, or nothing where it has none."""
    text = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
    first = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=\.) (?=[A-Z])", first, maxsplit=1)[0]


def metric_names() -> list[str]:
    """Every metric, without the suffixes of its samples."""
    return [family.name for family in _families()]


def _families() -> list[Any]:
    observed = Metrics()
    observed.answered("GET", "/", 200, 0.0)  # labels show only once they have values
    return list(observed.collect())


def _folder(name: str, paths: Sequence[Path]) -> str:
    inside = "" if name == "." else f"{name}/"
    init = [path for path in paths if path.name == "__init__.py"]
    about = purpose(init[0]) if init else ""
    rows = [[_code(path.name), purpose(path)] for path in paths if path not in init]
    heading = f"## `{inside}`" if inside else "## `rollbook`"
    table = f"\n\n{_table(['Module', 'What it is for'], rows)}" if rows else ""
    return f"{heading}\n\n{about}{table}"


def _command(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"### `{name}`", f"```\n{usage}\n```", inspect.cleandoc(command.help or "")]
    options = [option for option in command.params if isinstance(option, click.Option)]
    settings = {config.flag(setting.name): config.variable(setting) for setting, _ in config.all_settings()}
    flags = {
        option.opts[0]
        for option in options
        if (variable := settings.get(option.opts[0])) and variable in (option.help or "")
    }  # an option of the command's own may be called as a setting is
    own = [option for option in options if option.opts[0] not in flags and not option.hidden]
    if own:
        rows = [[_code(_spelling(option)), option.help or ""] for option in own]
        parts.append(_table(["Option", "Meaning"], rows))
    if given := [_code(option.opts[0]) for option in options if option.opts[0] in flags]:
        parts.append(f"[Settings](settings.md) that it takes: {', '.join(given)}.")
    return "\n\n".join(parts)


def _spelling(option: click.Option) -> str:
    kind = option.type
    value = "|".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else kind.name.upper()
    names = "/".join([option.opts[0], *option.secondary_opts])
    return names if option.is_flag else f"{option.opts[0]} {value}"


def _sentence(route: Route) -> str:
    return " ".join((inspect.getdoc(route.handler) or "").partition("\n\n")[0].split())


def _values(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " ".join(map(_code, schema["enum"]))
    if "pattern" in schema:
        names = schema["pattern"].removeprefix("^(").partition("|[")[0].split("|")
        return f"{' '.join(map(_code, names))}, or a field's id"
    if schema["type"] == "array":
        items = schema["items"]
        return "ids" if items["type"] == "integer" else f"some of {_values(items)}"
    kind = {"integer": "whole number", "string": "text", "boolean": "true or false"}[schema["type"]]
    high = schema.get("maximum")
    bounds = _range(schema.get("minimum"), None if high == search.ID_MAX else high)
    default = f"; default {schema['default']}" if "default" in schema else ""
    return kind + bounds + default


def _range(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    return f", at least {low}" if high is None else f", {_plain(low)} to {high}"


def _plain(number: float | None) -> str:
    return f"{number:f}".rstrip("0") if isinstance(number, float) else str(number)


def _code(value: object) -> str:
    return f"`{value}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    main()
