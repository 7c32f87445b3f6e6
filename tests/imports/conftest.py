"""A desk where files come in, on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollbook.accounts import Account
from rollbook.db import Database
from tests.imports.desk import Desk


@pytest.fixture
def desk(db: Database, alice: Account, tmp_path: Path) -> Desk:
    """Where files come in for an account."""
    return Desk(db, alice, tmp_path)
