"""What tests of the cases share: the files, and what became of them."""

from __future__ import annotations

import io
from pathlib import Path

from rollbook import exports
from rollbook.exports import Export
from rollbook.imports import Import
from tests.imports.desk import Desk

CASES = Path(__file__).parent


def done(desk: Desk, file: str | bytes, name: str = "contacts.csv", **spec: object) -> Import:
    """Import a case by its name, or a text, as the command does it."""
    is_case = isinstance(file, str) and "\n" not in file
    content = CASES / file if isinstance(file, str) and is_case else file
    return desk.done(content, name, **{"phone_check": "valid", **spec})


def exported(desk: Desk, export: Export) -> bytes:
    """An export of the desk's account."""
    out = io.BytesIO()
    exports.write(desk.db, desk.account_id, export, out)
    return out.getvalue()


def phones(desk: Desk) -> list[int]:
    """Those in the book."""
    return sorted(desk.book()["contacts"])


def us(*numbers: int) -> list[int]:
    """Fictional phones of San Francisco."""
    return [14155550000 + number for number in numbers]
