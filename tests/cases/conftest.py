"""A desk where files come in, for the cases: on one database, each with an account of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollbook import accounts
from rollbook.db import Database
from tests.conftest import opened
from tests.imports.desk import Desk

_names = itertools.count(1)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database that the tests share, each with an account of its own: files are read alike on both engines."""
    with opened(f"sqlite:///{tmp_path_factory.mktemp('cases')}/rollbook.db") as database:
        database.migrate()
        yield database


@pytest.fixture
def url_of_book(tmp_path: Path) -> str:
    """A database with one account."""
    url = f"sqlite:///{tmp_path}/rollbook.db"
    with opened(url) as database:
        database.migrate()
        database.write(accounts.create, name="default")
    return url


@pytest.fixture
def desk(book: Database, tmp_path: Path) -> Desk:
    """Where files come in for a new account."""
    return Desk(book, book.write(accounts.create, name=f"account {next(_names)}"), tmp_path)
