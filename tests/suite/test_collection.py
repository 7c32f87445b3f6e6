"""The test suite itself: what is collected is the same in every process, at every time, in every folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.servers import aborted, begun, environment, rollbook

ROOT = Path(__file__).parents[2]
SUITE_TESTS_MIN = 1_000


def _collected(folder: Path, env: Mapping[str, str]) -> list[str]:
    """The ids of all tests, collected in a process of its own that is started in that folder."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    with begun(
        [*command, "-c", str(ROOT / "pyproject.toml"), f"--rootdir={ROOT}", str(ROOT / "tests")],
        env={"PYTHONPATH": str(ROOT), **env},
        measured=False,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        out, _ = process.communicate(timeout=240)
    assert process.returncode == 0, out
    return [line for line in out.splitlines() if "::" in line]


def test_two_processes_collect_the_same_tests(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """pytest-xdist refuses to run when they do not; one collection takes longer than a second, so the clock
    differs as well."""
    first = [item.nodeid for item in request.session.items]
    if len(first) < SUITE_TESTS_MIN:  # only some tests are run
        first = _collected(ROOT, {"PYTHONHASHSEED": "1"})
    other = {"PYTHONHASHSEED": "2", "TMPDIR": str(tmp_path), "HOME": str(tmp_path), "TZ": "Asia/Tokyo"}
    second = _collected(tmp_path, other)
    known = set(first)
    assert len(first) > SUITE_TESTS_MIN
    assert [name for name in second if name in known] == first
    unreadable = [name for name in first if len(name) > 400 or not name.isprintable()]
    assert unreadable == []


def test_parameters_that_are_bytes_have_readable_names(request: pytest.FixtureRequest) -> None:
    def named(value: object) -> object:
        return request.config.hook.pytest_make_parametrize_id(config=request.config, val=value, argname="x")

    assert named(b"phone,name") == "phone,name"
    assert named(b"\x1f\x8b\x08") == "...-3e97f4ed"
    assert named(b"") == "empty-00000000"
    assert str(named("x" * 5_000)).startswith("x" * 30 + "-")
    assert named("short") is None


def test_a_process_that_hangs_is_ended_and_shows_where_it_was() -> None:
    waiting = "import threading; print('ready', flush=True); threading.Event().wait()"
    command = [sys.executable, "-c", waiting]
    with begun(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        stacks = aborted(process)
    assert "most recent call first" in stacks
    assert 'File "<string>"' in stacks


def test_a_test_that_fails_leaves_no_process(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(subprocess.TimeoutExpired),
        begun(["sleep", "600"], stderr=subprocess.PIPE) as process,
    ):
        process.communicate(timeout=0.1)
    assert process.poll() is not None
    assert "sleep 600 had not ended" in capsys.readouterr().out


def test_a_process_that_is_interrupted_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COVERAGE_PROCESS_CONFIG", "x")
    assert "COVERAGE_PROCESS_CONFIG" in environment()
    assert "COVERAGE_PROCESS_CONFIG" not in environment(measured=False)
    assert rollbook("x")[0] == sys.executable
    assert os.environ["COVERAGE_PROCESS_CONFIG"] == "x"
