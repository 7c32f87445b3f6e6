"""The thread of the service that looks after imports."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from rollbook.config import Settings
from rollbook.errors import DatabaseDamaged
from rollbook.imports import process
from rollbook.imports.starter import ImportWorkers
from tests.conftest import opened


def test_on_a_damaged_database_it_ends_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service says in its log that the database is damaged, once and in a sentence."""
    told: list[object] = []
    looked = threading.Event()

    def look(*_args: object, **_kwargs: object) -> None:
        looked.set()
        raise DatabaseDamaged()

    monkeypatch.setattr(threading, "excepthook", told.append)
    monkeypatch.setattr(process, "run", look)
    (tmp_path / "spool").mkdir()
    url = f"sqlite:///{tmp_path / 'rollbook.db'}"
    with opened(url) as database:
        workers = ImportWorkers(Settings(database_url=url, spool_dir=str(tmp_path / "spool")), database)
        assert looked.wait(60)
        workers.close()
    assert not told
