"""What keeps a commit from being released: `make release`."""

from __future__ import annotations

import subprocess
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from tests.docs.generate import ROOT
from tools import release

TODAY = date(2026, 11, 25)
CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 1.4.0 - 2026-11-25\n\n- New.\n\n## 1.3.9 - 2026-10-01\n"
PROJECT = """\
[project]
name = "rollbook"
dynamic = ["version"]
readme = "README.md"
license = "Apache-2.0"
requires-python = ">=3.11"
classifiers = ["Typing :: Typed"]
"""


def git(root: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    subprocess.run(["git", *who, *arguments], cwd=root, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of a small project that can be released as 1.4.0."""
    files = {
        "pyproject.toml": PROJECT,
        "README.md": "# rollbook\n",
        "CHANGELOG.md": CHANGELOG,
        "src/rollbook/__init__.py": '"""A package."""\n\n__version__ = "1.4.0"\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
    git(tmp_path, "init", "--initial-branch=main")
    commit(tmp_path)
    return tmp_path


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--allow-empty", "--message", "Change")


def changelog(text: str) -> Callable[[Path], None]:
    """A step that writes another changelog, and commits it."""

    def step(root: Path) -> None:
        (root / "CHANGELOG.md").write_text(text, "utf-8")
        commit(root)

    return step


def test_a_commit_that_is_in_order_can_be_released(clone: Path) -> None:
    assert release.problems(clone, "1.4.0", TODAY) == []
    assert release.problems(clone, "1.4.0", date(2027, 1, 1)) == []


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (lambda root: (root / "new.txt").write_text(""), "The tree is not clean:\n?? new.txt"),
        (lambda root: git(root, "switch", "-c", "topic"), "Releases are made on main; this is topic."),
        (lambda root: git(root, "tag", "v1.4.0"), "The tag v1.4.0 exists already."),
        (
            changelog(CHANGELOG.replace("## Unreleased\n\n", "")),
            'CHANGELOG.md must begin with the heading "## Unreleased".',
        ),
        (
            changelog(CHANGELOG.replace("Unreleased\n", "Unreleased\n\n- Late.\n")),
            'CHANGELOG.md has lines under "Unreleased". Move them below the heading of 1.4.0.',
        ),
        (
            changelog(CHANGELOG.replace("## 1.4.0 - 2026-11-25\n\n- New.\n\n", "")),
            "The newest version in CHANGELOG.md is 1.3.9, but the package is 1.4.0.",
        ),
        (
            changelog(CHANGELOG.replace("1.4.0 - 2026-11-25", "1.4.0")),
            'CHANGELOG.md needs a heading "## 1.4.0 - YYYY-MM-DD"; its newest is "1.4.0".',
        ),
        (
            changelog(CHANGELOG.replace("11-25", "11-26")),
            "CHANGELOG.md dates 1.4.0 2026-11-26, which is after today, 2026-11-25.",
        ),
        (
            changelog(CHANGELOG.replace("11-25", "11-31")),
            "CHANGELOG.md dates 1.4.0 2026-11-31, which is not a date.",
        ),
    ],
    ids=[
        "a change that is not committed",
        "another branch",
        "the tag",
        "no heading for what comes after",
        "lines for what comes after",
        "no heading for the version",
        "no date",
        "a date to come",
        "no such date",
    ],
)
def test_what_is_not_in_order_is_said(clone: Path, step: Callable[[Path], object], said: str) -> None:
    step(clone)
    assert release.problems(clone, "1.4.0", TODAY) == [said]


def test_another_version_that_is_installed_is_said(clone: Path) -> None:
    assert release.problems(clone, "1.3.9", TODAY) == [
        "`rollbook --version` says 1.3.9, but the package is 1.4.0."
    ]


def test_a_version_in_pyproject_counts(clone: Path) -> None:
    path = clone / "pyproject.toml"
    path.write_text(PROJECT.replace('dynamic = ["version"]', 'version = "1.5.0"'), "utf-8")
    assert release.version_of(clone) == "1.5.0"


def test_the_version_of_the_package_is_the_newest_in_its_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    newest = next(heading for heading in release.HEADING.findall(text) if heading != "Unreleased")
    assert newest.partition(" - ")[0] == release.version_of(ROOT)


def test_what_a_wheel_lacks_or_has_too_much_is_said(clone: Path) -> None:
    wheel = clone / "dist" / "rollbook-1.4.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("rollbook/other.py", "")
        archive.writestr("rollbook-1.4.0.dist-info/METADATA", "Name: rollbook\nVersion: 1.4.0\n\n# another\n")
    assert release.problems_of_files(clone, release.Built(wheel, wheel)) == [
        "The wheel's License-Expression is None, not Apache-2.0.",
        "The wheel's License-File is None, not LICENSE.",
        "The wheel's Requires-Python is None, not >=3.11.",
        "The wheel's Description-Content-Type is None, not text/markdown.",
        "The wheel's description is not the README.",
        "The wheel lacks classifiers: Typing :: Typed.",
        "The wheel lacks rollbook/__init__.py.",
        "The wheel has rollbook/other.py, which is not in src/.",
        "The wheel lacks the text of the licence.",
    ]


def test_the_commands_that_are_left_name_the_tag_and_the_files() -> None:
    text = "\n".join(release.commands("1.4.0", [Path("dist/a.tar.gz"), Path("dist/b.whl")]))
    assert "git tag --annotate v1.4.0" in text
    assert "git push origin v1.4.0" in text
    assert "publish dist/a.tar.gz dist/b.whl" in text
    assert "://" not in text
