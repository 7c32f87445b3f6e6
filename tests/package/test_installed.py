"""The package, built and installed as docs/how-to/install.md says, in a fresh environment outside the repository.

The environment has the dependencies of requirements/runtime.txt, and no others: they are linked out of the
environment of the tests, and pip, without a network, checks that they are all that the wheel wants. So nothing
here says that a registry has them. The interpreter is that of the tests.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from rollbook import __version__
from tests.cli.test_systemd import values
from tests.docs.generate import ROOT
from tests.docs.sessions import Command, commands, in_one_shell, lies
from tests.docs.test_docs import masked, session
from tests.servers import begun
from tools import release

PAGE = (ROOT / "docs" / "how-to" / "install.md").read_text("utf-8")
SERVE = "rollbook serve"
START_SECONDS_MAX = 60


class Place(NamedTuple):
    """A folder outside the repository, with the environment of its processes; and the release built before."""

    folder: Path
    env: Mapping[str, str]
    built: release.Built

    def run(self, shown: Sequence[Command]) -> None:
        """Run commands in one shell; each must succeed, and print what the page shows, if it shows anything."""
        measured = [name for name in os.environ if name.startswith("COVERAGE_")]
        texts = [command.text for command in shown]
        outcomes = in_one_shell(texts, self.folder.parent, folder=self.folder, env=self.env, unset=measured)
        assert lies(shown, outcomes) == []

    def output(self, *command: str, **env: str) -> str:
        """What a program of the fresh environment prints."""
        with begun(
            [str(self.folder / "rollbook" / "bin" / command[0]), *command[1:]],
            env={**self.env, **env},
            measured=False,
            cwd=self.folder,
            stdout=subprocess.PIPE,
        ) as process:
            out, _ = process.communicate(timeout=120)
        assert process.returncode == 0, out
        return str(out)


def around_serve() -> tuple[list[Command], list[Command]]:
    """The commands of the page before it starts the service, and those after."""
    shown = commands(PAGE)
    at = [command.text for command in shown].index(SERVE)
    return shown[:at], shown[at + 1 :]


def locked() -> set[Path]:
    """The files and folders of all that requirements/runtime.txt installs here, in the environment of the tests."""
    found: set[Path] = set()
    lock = (ROOT / "requirements" / "runtime.txt").read_text("utf-8")
    for name, marker in re.findall(r"^([\w.-]+)==\S+( ; )?", lock, re.MULTILINE):
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            assert marker, f"{name} is not installed"
            continue
        tops = {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
        found |= {Path(str(distribution.locate_file(top))) for top in tops}
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An unpacked source distribution, in which the page was followed up to its `rollbook serve`."""
    built = release.build(ROOT, tmp_path_factory.mktemp("dist"))
    clone = tmp_path_factory.mktemp("clone")
    with tarfile.open(built.sdist) as archive:
        archive.extractall(clone, filter="data")
    [folder] = clone.iterdir()
    dependencies = tmp_path_factory.mktemp("dependencies")
    for path in locked():
        (dependencies / path.name).symlink_to(path)
    env = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(dependencies),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one the other way round: flit_core is here already
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "ROLLBOOK_PORT": "0",
    }
    place = Place(folder, env, built)
    place.run(around_serve()[0])
    return place


@pytest.fixture(scope="module")
def api(place: Place) -> Iterator[httpx.Client]:
    """A client of the service that the page's `rollbook serve` starts. It must end with 0 at SIGTERM."""
    with begun(
        [str(place.folder / "rollbook" / "bin" / "rollbook"), "serve"],
        env=place.env,
        measured=False,
        cwd=place.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        banner = ""
        deadline = time.monotonic() + START_SECONDS_MAX
        while " serves " not in banner:
            line = process.stdout.readline()
            assert line, f"rollbook did not start: {banner}"
            assert time.monotonic() < deadline
            banner += line
        key = re.search(r"\blive_\w+", banner)
        url = re.search(r" serves (http://[\d.:]+)/api/", banner)
        assert key is not None
        assert url is not None
        headers = {"Authorization": f"Bearer {key[0]}"}
        with httpx.Client(base_url=url[1], headers=headers, timeout=60) as client:
            yield client
        process.terminate()
        assert process.wait(60) == 0


def test_the_release_has_all_that_it_must_have(place: Place) -> None:
    assert release.problems_of_files(ROOT, place.built) == []
    names = release.names_in(place.built.wheel)
    assert {
        "rollbook/py.typed",
        "rollbook/cli/rollbook.service",
        "rollbook/db/migrations/0001_accounts_and_lists.sql",
    } <= set(names)
    assert not [name for name in names if name.endswith(".pyc")]


def test_pip_builds_the_wheel_of_the_release(place: Place) -> None:
    [wheel] = (place.folder / "dist").iterdir()
    assert wheel.name == place.built.wheel.name == f"rollbook-{__version__}-py3-none-any.whl"
    assert sorted(release.names_in(wheel)) == sorted(release.names_in(place.built.wheel))


def test_what_is_installed_is_the_package_and_all_that_it_wants(place: Place) -> None:
    where = place.output("python", "-c", "import rollbook; print(rollbook.__file__)").strip()
    assert Path(where).is_relative_to(place.folder / "rollbook")
    assert str(ROOT / "src") not in place.output("python", "-c", "import sys; print(sys.path)")
    assert "No broken requirements" in place.output("pip", "check")
    names = {entry["name"].lower() for entry in json.loads(place.output("pip", "list", "--format=json"))}
    assert {"rollbook", "falcon"} <= names
    assert not {"pytest", "ruff", "coverage"} & names


def test_the_first_session_works(place: Place, api: httpx.Client) -> None:
    list_id = 0
    for method, url, sent, printed, status in session():
        path = re.sub(r"/groups/\d+", f"/groups/{list_id}", url.removeprefix("http://127.0.0.1:8080"))
        answer = api.request(method, path, json=sent)
        assert answer.status_code == status, url
        assert masked(answer.json()) == masked(printed), url
        if status == 201:
            list_id = answer.json()["data"]["id"]
    assert api.get("/docs").status_code == 200
    place.run(around_serve()[1])
    lists = {entry["name"]: entry for entry in api.get("/api/groups").json()["data"]}
    assert (lists["First customers"]["items"], lists["First customers"]["stop_list_count"]) == (2, 1)


def test_the_page_names_the_wheel_of_this_version() -> None:
    assert set(re.findall(r"rollbook-([\d.]+)-py3", PAGE)) == {__version__}


def test_the_unit_starts_the_installed_program(place: Place) -> None:
    unit = values(place.output("rollbook", "systemd-unit"))
    assert unit["ExecStart"] == f"{place.folder}/rollbook/bin/rollbook serve"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_completions(place: Place, shell: str) -> None:
    for words, expected in (
        (["rollbook", "im"], {"import", "imports"}),
        (["rollbook", "imports", "rej"], {"rejects"}),
        (["rollbook", "export", "--li"], {"--list"}),
        (["rollbook", "nothing"], set()),
    ):
        fish = shell == "fish"
        out = place.output(
            "rollbook",
            _ROLLBOOK_COMPLETE=f"{shell}_complete",
            COMP_WORDS=" ".join(words[:-1] if fish else words),
            COMP_CWORD=words[-1] if fish else str(len(words) - 1),
        )
        line = {"bash": r"^plain,(\S+)$", "zsh": r"^plain\n(\S+)\n.+$", "fish": r"^plain,(\S+)"}[shell]
        assert set(re.findall(line, out, re.MULTILINE)) == expected, out


def test_bash_completes_by_the_file_of_the_page(place: Place) -> None:
    write = [command for command in commands(PAGE) if "_ROLLBOOK_COMPLETE" in command.text]
    assert len(write) == 3
    path = f"export PATH='{place.folder}/rollbook/bin':$PATH"
    completed = (
        ". ./rollbook-complete.bash; COMP_WORDS=(rollbook stops a); COMP_CWORD=2; "
        '_rollbook_completion rollbook; echo "${COMPREPLY[@]}"'
    )
    place.run([Command(0, path, []), *write, Command(0, completed, ["add"])])
    assert "#compdef rollbook" in (place.folder / "rollbook-complete.zsh").read_text()
    assert "--command rollbook" in (place.folder / "rollbook-complete.fish").read_text()
