"""Verification: recounts every stored count and every copy of a stop mask, and corrects them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import msgspec

from rollbook import accounts, counts, leftovers, stop_list
from rollbook.counts import ACCOUNT_COUNTS, LIST_COUNTS
from rollbook.db import Transaction


class Drift(msgspec.Struct, frozen=True):
    """A count that is wrong.

    `about` is the name of a list, or "" for a count of the whole account; `list_id` is 0 then.
    """

    list_id: int
    about: str
    count: str
    kept: int
    actual: int


class _Comparison(msgspec.Struct, frozen=True):
    """The stored counts of a list or an account, and the correct ones: six each, in the order of their
    names."""

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
        """The counts that differ."""
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
    """The result of the last recounts: the drift of all accounts, and the time of the oldest recount."""

    drift: int
    verified_at: datetime | None


_STRAY_MASKS = """
    FROM contact WHERE contact.account_id = :account_id AND contact.stop_mask <> coalesce(
        (SELECT mask FROM stop_list
         WHERE stop_list.account_id = :account_id AND stop_list.phone = contact.phone), 0)
"""


def _orphans(table: str, column: str, parent: str, *, leftover: leftovers.Kind | None = None) -> str:
    """SQL that begins with `FROM table WHERE`: rows of `table` whose `column` is not the id of any `parent`.

    Args:
        leftover: leave out rows of deleted lists or fields, which are still being removed.
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
"""Rows whose parent row does not exist; there must be none."""


def recount(tx: Transaction, account_id: int) -> list[Drift]:
    """Compare every stored count of an account with a recount, and every contact's stop mask with the stop
    list.

    It reads the whole account in one snapshot.

    Returns:
        The counts that differ; empty when all are correct.
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
    """SQL: the stored counts of `table` and the correct ones, as columns for `_Comparison`."""
    kept = [f"{table}.{name} AS kept_{number}" for number, name in enumerate(names)]
    facts = [
        f"CAST(coalesce(fact.{name}, 0) AS BIGINT) AS actual_{number}" for number, name in enumerate(names)
    ]  # fmt: skip
    return ", ".join([*kept, *facts])


def _differ(table: str, names: Sequence[str]) -> str:
    return " OR ".join(f"{table}.{name} <> coalesce(fact.{name}, 0)" for name in names)


def fix(tx: Transaction, account_id: int) -> list[Drift]:
    """Correct every count of an account, and copy the masks of the stop list to its contacts.

    It holds the account while it reads all of it.

    Returns:
        The counts that were wrong.
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
    """Store the result of a recount, for the service's metrics."""
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
    """The result of the last recounts of all accounts."""
    found = tx.one(
        Verified,
        """
        SELECT CAST(coalesce(sum(drift), 0) AS BIGINT) AS drift, min(verified_at) AS verified_at
        FROM verification
        """,
    )
    assert found is not None
    return found
