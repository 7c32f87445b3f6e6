"""Check and build a release: `make release`.

`python -m tools.release check` says all that keeps this commit from being released. `python -m tools.release
build` puts the source distribution and the wheel into dist/, looks into them, and prints the commands that
publish them. Nothing here changes the repository or sends anything.
"""

from __future__ import annotations

import ast
import email
import os
import re
import shlex
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from email.message import Message
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
BRANCH = "main"
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
RELEASED = re.compile(r"(\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})")
"""The heading of a version, as Keep a Changelog has it."""

BUILD = "import sys; from flit_core import buildapi; print(getattr(buildapi, sys.argv[1])(sys.argv[2]))"
"""What a build frontend calls (PEP 517), without an environment of its own."""


class Built(NamedTuple):
    """The two files of a release."""

    sdist: Path
    wheel: Path


def main(arguments: Sequence[str]) -> int:
    """Run `check` or `build`; the exit code."""
    if arguments == ["check"]:
        return _report(problems(ROOT, _version_of_command(), datetime.now(UTC).date()))
    if arguments == ["build"]:
        built = build(ROOT, ROOT / "dist")
        if failed := _report(problems_of_files(ROOT, built)):
            return failed
        print("\n".join(commands(version_of(ROOT), [path.relative_to(ROOT) for path in built])))
        return 0
    print("usage: python -m tools.release check|build", file=sys.stderr)
    return 2


def problems(root: Path, installed: str, today: date) -> list[str]:
    """All that keeps the commit of a clone from being released, as sentences.

    Args:
        root: the folder of the clone.
        installed: what `rollbook --version` says.
    """
    version = version_of(root)
    found = []
    if changed := _git(root, "status", "--porcelain"):
        found.append(f"The tree is not clean:\n{changed}")
    if (branch := _git(root, "rev-parse", "--abbrev-ref", "HEAD")) != BRANCH:
        found.append(f"Releases are made on {BRANCH}; this is {branch}.")
    if installed != version:
        found.append(f"`rollbook --version` says {installed}, but the package is {version}.")
    if _git(root, "tag", "--list", tag_of(version)):
        found.append(f"The tag {tag_of(version)} exists already.")
    return found + _problems_of_changelog((root / "CHANGELOG.md").read_text("utf-8"), version, today)


def _problems_of_changelog(text: str, version: str, today: date) -> list[str]:
    parts = HEADING.split(text)[1:]
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    found = []
    if next(iter(sections), "") != "Unreleased":
        found.append('CHANGELOG.md must begin with the heading "## Unreleased".')
    elif sections.pop("Unreleased").strip():
        found.append(f'CHANGELOG.md has lines under "Unreleased". Move them below the heading of {version}.')
    newest = next((heading for heading in sections if heading != "Unreleased"), "")
    match = RELEASED.fullmatch(newest)
    if match is None:
        return [
            *found,
            f'CHANGELOG.md needs a heading "## {version} - YYYY-MM-DD"; its newest is "{newest}".',
        ]
    if match[1] != version:
        found.append(f"The newest version in CHANGELOG.md is {match[1]}, but the package is {version}.")
    try:
        if date.fromisoformat(match[2]) > today:
            found.append(f"CHANGELOG.md dates {match[1]} {match[2]}, which is after today, {today}.")
    except ValueError:
        found.append(f"CHANGELOG.md dates {match[1]} {match[2]}, which is not a date.")
    return found


def version_of(root: Path) -> str:
    """The version of the package: the one in pyproject.toml, or the `__version__` that it refers to."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    if "version" in project:
        return str(project["version"])
    code = (root / "src" / project["name"] / "__init__.py").read_text("utf-8")
    for statement in ast.parse(code).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__version__":
            return str(ast.literal_eval(statement.value))
    raise ValueError(f"{project['name']}/__init__.py has no __version__.")


def tag_of(version: str) -> str:
    """The tag of a version."""
    return f"v{version}"


def build(root: Path, folder: Path) -> Built:
    """Build the source distribution from `root`, and the wheel from that, into `folder`.

    Times of files in them are that of the commit, so that the same commit gives the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "SOURCE_DATE_EPOCH": _git(root, "log", "-1", "--format=%ct")}

    def called(hook: str, source: Path) -> Path:
        done = subprocess.run(
            [sys.executable, "-c", BUILD, hook, str(folder)],
            cwd=source,
            env=env,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return folder / done.stdout.strip()

    sdist = called("build_sdist", root)
    with tempfile.TemporaryDirectory() as unpacked, tarfile.open(sdist) as archive:
        archive.extractall(unpacked, filter="data")
        [source] = Path(unpacked).iterdir()
        wheel = called("build_wheel", source)
    wheel.chmod(0o644)  # flit makes a file that only its owner can read
    return Built(sdist, wheel)


def problems_of_files(root: Path, built: Built) -> list[str]:
    """What is wrong with the files of a release, as sentences."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    metadata = metadata_of(built.wheel)
    expected = {
        "Name": project["name"],
        "Version": version_of(root),
        "License-Expression": project["license"],
        "License-File": "LICENSE",
        "Requires-Python": project["requires-python"],
        "Description-Content-Type": "text/markdown",
    }
    found = [
        f"The wheel's {name} is {metadata[name]}, not {value}."
        for name, value in expected.items()
        if (metadata[name] or "").partition(";")[0] != value
    ]
    readme = (root / project["readme"]).read_text("utf-8").strip()
    if str(metadata.get_payload()).strip() != readme:
        found.append("The wheel's description is not the README.")
    if missing := set(project["classifiers"]) - set(metadata.get_all("Classifier", ())):
        found.append(f"The wheel lacks classifiers: {', '.join(sorted(missing))}.")
    package = f"{project['name']}/"
    in_wheel = {name for name in names_in(built.wheel) if ".dist-info/" not in name}
    in_clone = {
        path.relative_to(root / "src").as_posix()
        for path in (root / "src" / package).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    found += [f"The wheel lacks {name}." for name in sorted(in_clone - in_wheel)]
    found += [f"The wheel has {name}, which is not in src/." for name in sorted(in_wheel - in_clone)]
    if not any(name.endswith("/licenses/LICENSE") for name in names_in(built.wheel)):
        found.append("The wheel lacks the text of the licence.")
    return found


def metadata_of(wheel: Path) -> Message:
    """The metadata of a wheel; its body is the description."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name).replace(b"\r\n", b"\n"))


def names_in(wheel: Path) -> list[str]:
    """The files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def commands(version: str, files: Iterable[Path]) -> list[str]:
    """What is left to do, for people to run."""
    tag = tag_of(version)
    return [
        f"rollbook {version} can be released. When `make test` has passed on this commit:",
        "",
        f"  git tag --annotate {tag} --message 'rollbook {version}'",
        f"  git push origin {tag}",
        f"  .venv/bin/uv publish {shlex.join(map(str, files))}",
    ]


def _version_of_command() -> str:
    command = Path(sys.executable).with_name("rollbook")
    done = subprocess.run([command, "--version"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()[-1]


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.rstrip()


def _report(found: Sequence[str]) -> int:
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
