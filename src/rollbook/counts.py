"""The counts of lists and accounts: the only statements that change them.

`items` = members; `stop_list_count` = members whose phone is stopped on any of `channels.COUNTED`;
`<channel>_stopped` = members stopped on that channel. Who adds, removes or stops contacts describes the
change to `change` in the same transaction, while it holds the account (`accounts.lock`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from rollbook.channels import CHANNELS, bit, counted_bit
from rollbook.db import Rows, Transaction

LIST_COUNTS = ("items", "stop_list_count", *(f"{channel}_stopped" for channel in CHANNELS))
"""The columns of contact_list that are counts."""

ACCOUNT_COUNTS = ("contacts", "stops", *(f"{channel}_stops" for channel in CHANNELS))
"""The columns of account that are counts."""


class Mask(NamedTuple):
    """Members of a list that have the same stop mask."""

    list_id: int
    mask: int


def change(tx: Transaction, account_id: int, source: str, /, **params: Any) -> None:
    """Change the counts of lists by what `source` says.

    Args:
        source: a SELECT of `list_id`, `contacts` (how many the row stands for), `joined` (1 when they join
            the list, -1 when they leave it, 0 when they stay), and their stop masks `before` and `after`;
            0 for who is not in the list before or after.
        params: of `source`.
    """
    deltas = {
        "items": "joined",
        "stop_list_count": f"({counted_bit('after')} - {counted_bit('before')})",
        **{f"{c}_stopped": f"({bit(c, 'after')} - {bit(c, 'before')})" for c in CHANNELS},
    }
    sums = ", ".join(f"sum(contacts * {delta}) AS {name}" for name, delta in deltas.items())
    tx.run(
        f"""
        WITH delta AS MATERIALIZED (SELECT list_id, {sums} FROM ({source}) AS changed GROUP BY list_id)
        UPDATE contact_list SET {", ".join(f"{name} = contact_list.{name} + delta.{name}" for name in deltas)}
        FROM delta
        WHERE contact_list.account_id = :account_id AND contact_list.id = delta.list_id
          AND contact_list.id IN (SELECT list_id FROM delta)
        """,
        account_id=account_id,
        **params,
    )


def joined(tx: Transaction, account_id: int, members: Mapping[Mask, int]) -> None:
    """Count contacts that joined lists.

    Args:
        members: how many of each list and mask.
    """
    _moved(tx, account_id, members, "1 AS joined, 0 AS before, mask AS after")


def left(tx: Transaction, account_id: int, members: Mapping[Mask, int]) -> None:
    """Count contacts that left lists; see `joined`."""
    _moved(tx, account_id, members, "-1 AS joined, mask AS before, 0 AS after")


def _moved(tx: Transaction, account_id: int, members: Mapping[Mask, int], how: str) -> None:
    if members:
        ordered = sorted(members.items())
        change(
            tx,
            account_id,
            f"""
            SELECT list_id, contacts, {how}
            FROM {tx.rows("moved", list_id="bigint", mask="bigint", contacts="bigint")}
            """,
            moved=Rows(
                list_id=[key.list_id for key, _ in ordered],
                mask=[key.mask for key, _ in ordered],
                contacts=[count for _, count in ordered],
            ),
        )


def change_account(tx: Transaction, account_id: int, **deltas: int) -> None:
    """Add to the counts of an account; see `ACCOUNT_COUNTS`."""
    changed = {name: delta for name, delta in deltas.items() if delta}
    if changed:
        assert set(changed) <= set(ACCOUNT_COUNTS)
        tx.run(
            f"UPDATE account SET {', '.join(f'{name} = {name} + :{name}' for name in changed)} "
            "WHERE account_id = :account_id",
            account_id=account_id,
            **changed,
        )


def change_stops(tx: Transaction, account_id: int, masks: Mapping[tuple[int, int], int]) -> None:
    """Count a change of the stop list.

    Args:
        masks: for each mask before and mask after, how many rows; 0 is no row.
    """
    deltas: Counter[str] = Counter()
    for (before, after), rows in masks.items():
        deltas["stops"] += rows * (bool(after) - bool(before))
        for channel, value in CHANNELS.items():
            deltas[f"{channel}_stops"] += rows * (bool(after & value) - bool(before & value))
    change_account(tx, account_id, **deltas)
