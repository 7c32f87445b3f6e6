"""What pytest does with the recorder: records in every process of a run, and fails the run by what was found."""

from __future__ import annotations

from typing import Any

import pytest

from tests.statements import recorder
from tests.statements.recorder import Found, Recorder

_FOUND = "statements"


class Statements:
    """Registered by tests/conftest.py."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()
        self._recorder = Recorder()
        self._found: list[Found] = []
        self._sites: set[str] = set()
        self._recorder.begin(self._patch)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Check what this process recorded. With several, the one that looks after them gets all findings."""
        self._patch.undo()
        self._found += self._recorder.found()
        self._sites |= {site for site, _ in self._recorder.statements}
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_FOUND] = ([tuple(each) for each in self._found], sorted(self._sites))
        elif self._complaints() and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A process of pytest-xdist has ended."""
        found, sites = getattr(node, "workeroutput", {}).get(_FOUND, ((), ()))
        self._found += [Found(*each) for each in found]
        self._sites |= set(sites)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name what was found."""
        if complaints := self._complaints():
            terminalreporter.section("statements that leave their account", red=True, bold=True)
            terminalreporter.write_line(
                "Filter each table by account_id, or list the site in tests/statements/recorder.py."
            )
            for line in complaints:
                terminalreporter.write_line(line)

    def _complaints(self) -> list[str]:
        needless = recorder.needless(self._found, self._sites)
        return recorder.refused(self._found) + [
            f"{site} is listed, and stays with one account" for site in needless
        ]
