"""The documentation is true: generated parts are fresh, nothing is left out, links and examples work."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shlex
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import falcon.inspect
import httpx
import pytest

from rollbook import config
from rollbook.api.app import ROUTES, build
from rollbook.api.openapi import REFUSALS
from rollbook.config import Settings
from rollbook.logs import Log
from rollbook.metrics import Metrics
from tests.conftest import Live, opened
from tests.docs import generate
from tests.docs.generate import ROOT

DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text("utf-8")

MACHINE_PATH = re.compile(r"(^|[^\w.])/(work|root|home|Users)/")
REGISTRY_HOST = re.compile(r"\b(pypi\.org|pythonhosted\.org|anaconda\.org|npmjs\.(org|com))\b")


class Exchange(NamedTuple):
    """One request of the README's session, and what it prints for it."""

    method: str
    url: str
    sent: Any
    body: Any
    status: int


def tracked() -> list[Path]:
    """Every file that git has or would take."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    found = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in found if path.is_file()]


def text_of(path: Path) -> str | None:
    """The text of a file, or nothing when it holds none."""
    data = path.read_bytes()
    return None if b"\0" in data else data.decode("utf-8")


def reference(name: str) -> str:
    return (DOCS / "reference" / f"{name}.md").read_text("utf-8")


def section(text: str, heading: str) -> str:
    """What stands under a heading of a page, up to the next one of its level."""
    level = heading.partition(" ")[0]
    _, _, rest = text.partition(f"\n{heading}\n")
    assert rest, f"there is no heading {heading!r}"
    return re.split(rf"^{level} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("page", generate.PAGES, ids=lambda page: page.name)
def test_generated_parts_are_up_to_date(page: Path) -> None:
    text = page.read_text("utf-8")
    assert generate.filled(text) == text, "run `make docs`"


def test_every_generated_part_stands_on_a_page() -> None:
    pages = "".join(page.read_text("utf-8") for page in generate.PAGES)
    used = re.findall(r"<!-- generated: ([\w ]+) -->", pages)
    assert sorted(used) == sorted(generate.PARTS)


def test_every_module_says_what_it_is_for() -> None:
    modules = generate.all_modules()
    assert len(modules) > 100
    assert [path for path in modules if not generate.purpose(path)] == []


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
ARCHITECTURE = (DOCS / "architecture.md").read_text("utf-8")
SHOWN_PATHS = sorted(set(re.findall(r"`((?:[\w.]+/)*[\w.]+\.(?:py|md|toml|in)|(?:[\w.]+/)+)`", CONTRIBUTING)))
DRAWN_PATHS = sorted(set(re.findall(r"(?:\w+/)*\w+\.py\b", ARCHITECTURE)))


@pytest.mark.parametrize("name", SHOWN_PATHS)
def test_every_path_that_contributors_are_shown_exists(name: str) -> None:
    folders = (ROOT, generate.SOURCE)
    assert any((folder / name).exists() for folder in folders), "say it from the root, or from src/rollbook"


@pytest.mark.parametrize("name", DRAWN_PATHS)
def test_every_module_that_the_architecture_names_exists(name: str) -> None:
    assert (generate.SOURCE / name).is_file()


def test_the_diagram_of_the_readme_has_every_module_in_its_layer() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
    contract = tools["importlinter"]["contracts"][0]
    layers = [re.findall(r"rollbook\.(\w+)", layer) for layer in contract["layers"]]
    [diagram] = re.findall(r"^```\n(.*?)^```", section(README, "## Architecture"), re.MULTILINE | re.DOTALL)
    lines = {name: row for row, line in enumerate(diagram.splitlines()) for name in re.findall(r"\w+", line)}
    shown = [[lines[name] for name in layer if name != "__main__"] for layer in layers]
    for above, below in itertools.pairwise(rows for rows in shown if rows):
        assert max(above) <= min(below), diagram
    modules = {
        path.relative_to(generate.SOURCE).parts[0].removesuffix(".py") for path in generate.all_modules()
    }
    assert {name for name in modules if not name.startswith("__")} <= set(lines)


def test_every_setting_is_documented() -> None:
    page = reference("settings")
    for setting, _ in config.all_settings():
        assert f"`{config.flag(setting.name)}`" in page
        assert f"`{config.variable(setting)}`" in page


def test_every_command_is_documented() -> None:
    page = reference("cli")
    names = [name for name, _ in generate.all_commands()]
    assert len(names) >= 8
    for name in names:
        assert f"### `{name}`\n" in page


def test_every_metric_is_documented() -> None:
    page = reference("metrics")
    for name in generate.metric_names():
        assert name in page


def test_every_route_that_the_service_has_is_documented(tmp_path: Path) -> None:
    async def paths() -> list[str]:
        with opened(f"sqlite:///{tmp_path}/rollbook.db") as database:
            database.migrate()
            app = build(Settings(), database, Metrics(), Log(enabled=False))
            return [route.path for route in falcon.inspect.inspect_routes(app)]

    page = reference("api")
    found = asyncio.run(paths())
    assert {route.path for route in ROUTES} < set(found)
    for path in found:
        assert f"`{path}`" in page, path


def test_every_right_and_status_is_documented() -> None:
    page = section(reference("api"), "## Errors")
    for status in (400, 422, 500, *REFUSALS):
        assert f"| {status} |" in page, status


def test_dependencies_are_those_of_the_project_and_no_others() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {re.split(r"[\[><=~! ]", entry)[0] for entry in project["dependencies"]}
    page = reference("dependencies")
    assert set(re.findall(r"^\| `([\w.-]+)` \|", section(page, "## Declared"), re.MULTILINE)) == declared


def test_dependencies_that_come_along_are_those_of_the_lock() -> None:
    lock = (ROOT / "requirements" / "runtime.txt").read_text("utf-8")
    locked = {name.lower() for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    page = reference("dependencies")
    named = {name.lower() for name in re.findall(r"^\| `([\w.-]+)` \|", page, re.MULTILINE)}
    assert named == locked


@pytest.mark.parametrize(
    "page",
    [path for path in tracked() if path.suffix == ".md"],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_relative_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def anchors(page: Path) -> set[str]:
    """What its headings can be linked by."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_decision_is_linked_from_their_index() -> None:
    index = (DOCS / "decisions" / "README.md").read_text("utf-8")
    for page in (DOCS / "decisions").glob("[0-9]*.md"):
        assert f"]({page.name})" in index
        text = page.read_text("utf-8")
        for heading in ("## Context", "## Decision", "## What was measured", "## Consequences"):
            assert f"\n{heading}\n" in text, f"{page.name} has no {heading}"


def test_every_page_is_linked_from_the_index() -> None:
    index = (DOCS / "README.md").read_text("utf-8")
    pages = {
        ROOT / "SECURITY.md",
        *DOCS.glob("*.md"),
        *DOCS.glob("how-to/*.md"),
        *DOCS.glob("reference/*.md"),
    }
    for page in pages - {DOCS / "README.md"}:
        assert f"]({os.path.relpath(page, DOCS)})" in index


def test_no_file_names_a_folder_of_one_machine_or_a_package_registry() -> None:
    files = tracked()
    assert len(files) > 50
    for path in files:
        text = text_of(path)
        if text is None:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            where = f"{path.relative_to(ROOT)}:{number}"
            assert not MACHINE_PATH.search(line), where
            assert not REGISTRY_HOST.search(line), where


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt"])
def test_the_lock_names_no_host(name: str) -> None:
    assert "://" not in (ROOT / "requirements" / name).read_text("utf-8")


def test_the_readme_fits_its_promises() -> None:
    first_screen = "\n".join(README.splitlines()[:40])
    assert "make start" in first_screen
    assert "make test" in first_screen


def test_the_session_in_the_readme_works(live: Live, api: httpx.Client) -> None:
    list_id = 0
    exchanges = session()
    assert {exchange.status for exchange in exchanges} >= {200, 201, 422}
    for method, url, sent, printed, status in exchanges:
        path = re.sub(r"/groups/\d+", f"/groups/{list_id}", url.removeprefix("http://127.0.0.1:8080"))
        answer = api.request(method, path, json=sent)
        assert answer.status_code == status, url
        assert json.dumps(masked(answer.json())) == json.dumps(masked(printed)), url
        if status == 201:
            list_id = answer.json()["data"]["id"]


def test_the_python_of_the_readme_works(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    [code] = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    code = code.replace("http://127.0.0.1:8080", live.service.url)
    code = re.sub(r"live_\w+", live.new_key(), code)
    exec(compile(code, "README.md", "exec"), {})
    assert re.fullmatch(r"\d+ VIP customers 0\n", capsys.readouterr().out)


def test_a_line_of_the_log_is_as_the_page_shows_it(live: Live, api: httpx.Client) -> None:
    page = (DOCS / "how-to" / "operate.md").read_text("utf-8")
    [shown] = re.findall(r"^```json\n(.*)\n```$", section(page, "## Logs and metrics"), re.MULTILINE)
    answer = api.post("/api/groups", json={"name": "Logged"})
    mark = f'"request_id":"{answer.headers["X-Request-Id"]}"'
    deadline = time.monotonic() + 60
    while not (found := [line for line in live.service.log().split("\n")[:-1] if mark in line]):
        assert time.monotonic() < deadline, live.service.log()
        time.sleep(0.02)
    assert list(json.loads(found[0])) == list(json.loads(shown))


def session() -> list[Exchange]:
    """The requests that the README shows, each a line `$ api URL ...`, an answer, and its status."""
    [block] = re.findall(r"^```console\n(\$ alias.*?)^```", README, re.MULTILINE | re.DOTALL)
    exchanges = []
    for command, body, status in re.findall(r"^\$ api (.+)\n(.+)\nHTTP (\d+)$", block, re.MULTILINE):
        url, *options = shlex.split(command)
        given = dict(zip(options[::2], options[1::2], strict=True))
        sent = json.loads(given["-d"]) if "-d" in given else None
        method = given.get("-X", "POST" if "-d" in given else "GET")
        exchanges.append(Exchange(method, url, sent, json.loads(body), int(status)))
    assert len(exchanges) == block.count("$ api")
    return exchanges


def masked(value: Any) -> Any:
    """An answer without what differs from run to run; the order of its keys stays."""
    if isinstance(value, dict):
        return {
            name: f"some {name}" if name in ("id", "created_at") else masked(part)
            for name, part in value.items()
        }
    return [masked(part) for part in value] if isinstance(value, list) else value
