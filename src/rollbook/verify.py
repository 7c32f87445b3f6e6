"""Recounting from the facts: every count that is kept, and every copy of a stop mask."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from rollbook import accounts, counts, leftovers, stop_list
from rollbook.counts import ACCOUNT_COUNTS, LIST_COUNTS
from rollbook.db import Transaction


class Drift(msgspec.Struct, frozen=True):
    """A count that is not what it should be.

    `about` is a list's name, or "" for what concerns the whole account; `list_id` is 0 then.
    """

    list_id: int
    about: str
    count: str
    kept: int
    actual: int


class _Comparison(msgspec.Struct, frozen=True):
    """The counts of a list, or of an account, beside the facts: six each, in the order of their names."""

    id: int
    about: str
    kept_0: int
    kept_1: int
    kept_2: int
    kept_3: int
    kept_4: int
    kept_5: int
    actual_0: int
    actual_1: int
    actual_2: int
    actual_3: int
    actual_4: int
    actual_5: int

    def drift(self, names: Sequence[str]) -> list[Drift]:
        """Those that differ."""
        pairs = [
            (name, getattr(self, f"kept_{number}"), getattr(self, f"actual_{number}"))
            for number, name in enumerate(names)
        ]
        return [
            Drift(list_id=self.id, about=self.about, count=name, kept=kept, actual=actual)
            for name, kept, actual in pairs
            if kept != actual
        ]


class Verified(msgspec.Struct, frozen=True):
    """What the last recounts found: the drift of all accounts, and when the oldest of them was."""

    drift: int
    verified_at: datetime | None


_STRAY_MASKS = """
    FROM contact WHERE contact.account_id = :account_id AND contact.stop_mask <> coalesce(
        (SELECT mask FROM stop_list
         WHERE stop_list.account_id = :account_id AND stop_list.phone = contact.phone), 0)
"""


def _orphans(table: str, column: str, parent: str, *, leftover: leftovers.Kind | None = None) -> str:
    """SQL, which begins with `FROM table WHERE`: rows of `table` whose `column` has the id of no `parent`.

    Args:
        leftover: not those of a deleted list or field, whose rows are still being removed.
    """
    sql = f"""
        FROM {table} WHERE {table}.account_id = :account_id AND NOT EXISTS (
            SELECT 1 FROM {parent}
            WHERE {parent}.account_id = :account_id AND {parent}.id = {table}.{column})
    """
    if leftover is None:
        return sql
    return f"""{sql}
          AND NOT EXISTS (
            SELECT 1 FROM leftover
            WHERE leftover.account_id = :account_id AND kind = '{leftover}'
              AND leftover.id = {table}.{column})
    """


_ORPHANS = {
    "members without a contact": _orphans("membership", "contact_id", "contact"),
    "members without a list": _orphans("membership", "list_id", "contact_list", leftover="list"),
    "values without a contact": _orphans("field_value", "contact_id", "contact"),
    "values without a field": _orphans("field_value", "field_id", "contact_field", leftover="field"),
}
"""Rows that hang on nothing; there must be none."""


def recount(tx: Transaction, account_id: int) -> list[Drift]:
    """Compare every count of an account with the facts, and every contact's stops with the stop list.

    It reads the whole account, on one snapshot.

    Returns:
        What differs; nothing when all is right.
    """
    tx.read_whole_tables()
    lists = tx.all(
        _Comparison,
        f"""
        SELECT contact_list.id, contact_list.name AS about,
               {_side_by_side("contact_list", LIST_COUNTS)}
        FROM contact_list LEFT JOIN ({counts.FACTS_OF_LISTS}) AS fact ON fact.list_id = contact_list.id
        WHERE contact_list.account_id = :account_id AND ({_differ("contact_list", LIST_COUNTS)})
        ORDER BY contact_list.id
        """,
        account_id=account_id,
    )
    found = [drift for row in lists for drift in row.drift(LIST_COUNTS)]
    account = tx.all(
        _Comparison,
        f"""
        SELECT 0 AS id, '' AS about, {_side_by_side("account", ACCOUNT_COUNTS)}
        FROM account CROSS JOIN ({counts.FACTS_OF_ACCOUNT}) AS fact
        WHERE account.account_id = :account_id AND ({_differ("account", ACCOUNT_COUNTS)})
        """,
        account_id=account_id,
    )
    found += [drift for row in account for drift in row.drift(ACCOUNT_COUNTS)]
    strays = {"contacts with other stops than the stop list": _STRAY_MASKS, **_ORPHANS}
    for name, source in strays.items():
        stray = tx.one(int, f"SELECT count(*) {source}", account_id=account_id) or 0
        if stray:
            found.append(Drift(list_id=0, about="", count=name, kept=stray, actual=0))
    return found


def _side_by_side(table: str, names: Sequence[str]) -> str:
    """SQL: what `table` keeps and what the facts say, as `_Comparison` has them."""
    kept = [f"{table}.{name} AS kept_{number}" for number, name in enumerate(names)]
    facts = [
        f"CAST(coalesce(fact.{name}, 0) AS BIGINT) AS actual_{number}" for number, name in enumerate(names)
    ]  # fmt: skip
    return ", ".join([*kept, *facts])


def _differ(table: str, names: Sequence[str]) -> str:
    return " OR ".join(f"{table}.{name} <> coalesce(fact.{name}, 0)" for name in names)


def fix(tx: Transaction, account_id: int) -> list[Drift]:
    """Make every count what the facts say, and every contact's stops what the stop list says.

    It holds the account while it reads all of it.

    Returns:
        What had drifted.
    """
    accounts.lock(tx, account_id)
    found = recount(tx, account_id)
    if not found:
        return found
    for orphans in _ORPHANS.values():
        tx.run(f"DELETE {orphans}", account_id=account_id)
    stop_list.copy_masks(tx, account_id, f"SELECT contact.id {_STRAY_MASKS}")
    counts.restore(tx, account_id)
    return found


def record(tx: Transaction, account_id: int, found: Sequence[Drift]) -> None:
    """Keep what a recount found, for the service's metrics."""
    tx.run(
        """
        INSERT INTO verification (account_id, verified_at, drift) VALUES (:account_id, :now, :drift)
        ON CONFLICT (account_id) DO UPDATE SET verified_at = excluded.verified_at, drift = excluded.drift
        """,
        account_id=account_id,
        now=tx.now,
        drift=len(found),
    )


def last(tx: Transaction) -> Verified:
    """What the last recounts of all accounts found."""
    found = tx.one(
        Verified,
        """
        SELECT CAST(coalesce(sum(drift), 0) AS BIGINT) AS drift, min(verified_at) AS verified_at
        FROM verification
        """,
    )
    assert found is not None
    return found
