"""How far tests go: `make test` takes the short form of what takes long, `make test-long` the whole."""

from __future__ import annotations

import os

import pytest

LONG = os.environ.get("LONG_TESTS", "") not in ("", "0")
"""Whether the whole is asked for."""


def sized(short: int, long: int, variable: str = "") -> int:
    """How many examples, rows or seconds a test takes; mark the test `sized`.

    Args:
        short: in `make test`; so many that every way through the code is taken.
        long: in `make test-long`.
        variable: of the environment, which may ask for more than either.
    """
    return int(os.environ.get(variable, "") or (long if LONG else short))


def also_on_postgresql_when_long(fixture: str) -> pytest.MarkDecorator:
    """For what takes long, and goes the same way on both engines: in `make test` it runs on SQLite.

    Args:
        fixture: of a module, and parametrized with the engine.
    """
    engines = ["sqlite", pytest.param("postgresql", marks=pytest.mark.long)]
    return pytest.mark.parametrize(fixture, engines, indirect=True, scope="module")
