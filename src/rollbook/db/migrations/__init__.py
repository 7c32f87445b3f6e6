"""Numbered migrations of the schema: `NNNN_title.sql` beside this file, the same text for both engines.

A statement ends with a `;` at the end of a line. `{bigint}`, `{text}`, `{boolean}` and `{hot}` are
placeholders for SQL that differs between the engines. A statement that begins with `-- only postgresql` or
`-- only sqlite` runs only on that engine.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, NamedTuple

from rollbook.errors import DatabaseTooNew

SQLITE = {
    "bigint": "INTEGER",
    "text": "TEXT",
    "boolean": "INTEGER",
    "hot": "STRICT, WITHOUT ROWID",
}
"""`boolean` is 0 or 1; `hot` tables are stored in the order of their primary key."""

POSTGRESQL = {
    "bigint": "bigint",
    "text": 'text COLLATE "C"',
    "boolean": "boolean",
    "hot": "",
}
"""Text is compared by code point, as on SQLite."""

CREATE = """
    CREATE TABLE IF NOT EXISTS schema_migration (
        version {bigint} PRIMARY KEY, name {text} NOT NULL, applied_at {bigint} NOT NULL
    )
"""
VERSION = "SELECT coalesce(max(version), 0) FROM schema_migration"
FIRST = "SELECT name FROM schema_migration WHERE version = 1"
"""SQL to recognize our migrations: other programs have tables of that name too."""

TAKE_IDS = """
    INSERT INTO id_block (kind, next_id) VALUES (:kind, 1 + :count)
    ON CONFLICT (kind) DO UPDATE SET next_id = id_block.next_id + :count
    RETURNING next_id
"""


class Migration(NamedTuple):
    """One migration of the schema."""

    version: int
    name: str
    text: str


def all_steps() -> list[Migration]:
    """All migrations of this version of rollbook, oldest first."""
    found = []
    for file in resources.files(__name__).iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if match:
            found.append(Migration(int(match[1]), match[0][:-4], file.read_text("utf-8")))
    return sorted(found)


def tables() -> list[str]:
    """Every table that the migrations create, in the order of creation."""
    texts = [CREATE, *(step.text for step in all_steps())]
    return [
        name
        for text in texts
        for name in re.findall(r"^\s*CREATE TABLE (?:IF NOT EXISTS )?(\w+)", text, re.M)
    ]


def apply(execute: Callable[[str], Sequence[Sequence[Any]]], words: dict[str, str], engine: str) -> list[str]:
    """Apply the missing migrations. The caller holds the lock and commits.

    Args:
        execute: runs one statement without parameters and returns its rows.
        words: the values of the placeholders on this engine.
        engine: the name of the engine, for `-- only` statements.

    Returns:
        The names of the migrations that were applied.

    Raises:
        DatabaseTooNew: the schema of the database is newer than the migrations known here.
    """
    execute(_filled(CREATE, words))
    version = int(execute(VERSION)[0][0])
    steps = all_steps()
    newest = steps[-1].version
    if version > newest:
        raise DatabaseTooNew(version, newest)
    applied = []
    for step in steps:
        if step.version <= version:
            continue
        for statement in _statements(step.text, engine):
            execute(_filled(statement, words))
        execute(
            "INSERT INTO schema_migration (version, name, applied_at) "
            f"VALUES ({step.version}, '{step.name}', {int(time.time())})"
        )
        applied.append(step.name)
    return applied


def _statements(text: str, engine: str) -> list[str]:
    chosen = []
    for statement in re.split(r";\s*\n", text):
        only = re.search(r"^-- only (\w+)$", statement, re.MULTILINE)
        plain = re.sub(r"^\s*--.*$", "", statement, flags=re.MULTILINE).strip()
        if plain and (only is None or only[1] == engine):
            chosen.append(plain)
    return chosen


def _filled(statement: str, words: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: words[match[1]], statement)
