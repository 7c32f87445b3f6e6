"""Here the database itself is the subject: each test has a new one."""

from __future__ import annotations

import pytest


@pytest.fixture
def url(new_url: str) -> str:
    """URL of a new database on the engine of the test; nothing is migrated."""
    return new_url
