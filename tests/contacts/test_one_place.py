"""Statements that change counts, and those that change contacts, are in one module each."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import rollbook
from rollbook.counts import ACCOUNT_COUNTS, LIST_COUNTS

SOURCE = Path(rollbook.__file__).parent
COUNTS = "|".join([*LIST_COUNTS, *ACCOUNT_COUNTS])
CHANGES_COUNTED_ROWS = re.compile(r"\bUPDATE\s+(account|contact_list)\s+SET\b", re.IGNORECASE)
SETS_A_COUNT = re.compile(rf"\b({COUNTS})\s*=|\b(LIST_COUNTS|ACCOUNT_COUNTS)\b")
CHANGES_CONTACTS = re.compile(
    r"\b(INSERT\s+INTO\s+contact|DELETE\s+FROM\s+contact|UPDATE\s+contact\s+SET\s+\w+)\b(?!_)", re.IGNORECASE
)


def definitions() -> Iterator[tuple[str, str]]:
    """What each module of the package has at its top, such as a function: the module, and the text."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            yield str(path.relative_to(SOURCE)), ast.unparse(node)


def test_only_counts_py_has_statements_that_set_a_count() -> None:
    found = {
        module
        for module, text in definitions()
        if CHANGES_COUNTED_ROWS.search(text) and SETS_A_COUNT.search(text)
    }
    assert found == {"counts.py"}


def test_contacts_are_inserted_and_deleted_in_contacts_py_and_their_masks_copied_in_stop_list_py() -> None:
    found = {
        (module, " ".join(statement[1].split()))
        for module, text in definitions()
        for statement in CHANGES_CONTACTS.finditer(text)
    }
    assert found == {
        ("contacts.py", "INSERT INTO contact"),
        ("contacts.py", "DELETE FROM contact"),
        ("contacts.py", "UPDATE contact SET phone"),
        ("stop_list.py", "UPDATE contact SET stop_mask"),
    }
