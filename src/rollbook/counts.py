"""The counts of lists and accounts: every statement that changes one is here (a test looks for others).

A list has `items` = members; `stop_list_count` = members whose phone is stopped on any of `channels.COUNTED`;
`<channel>_stopped` = members stopped on that channel. An account has `contacts`; `stops` = rows of the stop
list; `<channel>_stops` = rows that stop on that channel.

A change of members or stops is counted in its own transaction, which holds the account
(`accounts.lock`): docs/decisions/0015.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from rollbook.channels import CHANNELS, bit, counted_bit
from rollbook.db import Rows, Transaction

LIST_COUNTS = ("items", "stop_list_count", *(f"{channel}_stopped" for channel in CHANNELS))
"""The columns of contact_list that are counts."""

ACCOUNT_COUNTS = ("contacts", "stops", *(f"{channel}_stops" for channel in CHANNELS))
"""The columns of account that are counts."""


_FACTS_OF_MEMBERS = {
    "items": "count(*)",
    "stop_list_count": f"sum({counted_bit('contact.stop_mask')})",
    **{f"{channel}_stopped": f"sum({bit(channel, 'contact.stop_mask')})" for channel in CHANNELS},
}

FACTS_OF_LISTS = f"""
    SELECT membership.list_id AS list_id,
           {", ".join(f"{sql} AS {name}" for name, sql in _FACTS_OF_MEMBERS.items())}
    FROM membership JOIN contact ON contact.account_id = :account_id AND contact.id = membership.contact_id
    WHERE membership.account_id = :account_id
    GROUP BY membership.list_id
"""
"""SQL: the correct `LIST_COUNTS` of each list that has members. It reads every member of the account."""

FACTS_OF_ACCOUNT = f"""
    SELECT (SELECT count(*) FROM contact WHERE account_id = :account_id) AS contacts, count(*) AS stops,
           {", ".join(f"coalesce(sum({bit(channel, 'mask')}), 0) AS {channel}_stops" for channel in CHANNELS)}
    FROM stop_list WHERE account_id = :account_id
"""
"""SQL: the correct `ACCOUNT_COUNTS`. It reads every contact and every stop of the account."""


class ListMask(NamedTuple):
    """A list and a stop mask: the members of the list whose contacts have that mask."""

    list_id: int
    mask: int


class MaskChange(NamedTuple):
    """The mask of a row of the stop list before and after a change; 0 means that there is no row."""

    before: int
    after: int


def joining(mask: str, *, contacts: str = "1") -> str:
    """SQL: the columns of a source of `change` for contacts that join a list.

    Args:
        mask: their stop mask, as SQL.
        contacts: their number, as SQL.
    """
    return f"{contacts} AS contacts, 1 AS joined, 0 AS before, {mask} AS after"


def leaving(mask: str, *, contacts: str = "1") -> str:
    """SQL: the columns of a source of `change` for contacts that leave a list; see `joining`."""
    return f"{contacts} AS contacts, -1 AS joined, {mask} AS before, 0 AS after"


def staying(before: str, after: str) -> str:
    """SQL: the columns of a source of `change` for a contact that stays in a list and gets another stop mask.

    Args:
        before, after: its stop mask before and after the change, as SQL.
    """
    return f"1 AS contacts, 0 AS joined, {before} AS before, {after} AS after"


def change(tx: Transaction, account_id: int, source: str, /, **params: Any) -> None:
    """Add the differences that `source` selects to the counts of lists.

    Args:
        source: a SELECT of `list_id` and of the columns that `joining`, `leaving` or `staying` returns.
        params: the parameters of `source`.
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


def joined(tx: Transaction, account_id: int, members: Mapping[ListMask, int]) -> None:
    """Count contacts that joined lists.

    Args:
        members: for each list and mask the number of contacts.
    """
    _change_members(tx, account_id, members, joining("mask", contacts="contacts"))


def left(tx: Transaction, account_id: int, members: Mapping[ListMask, int]) -> None:
    """Count contacts that left lists; see `joined`."""
    _change_members(tx, account_id, members, leaving("mask", contacts="contacts"))


def _change_members(tx: Transaction, account_id: int, members: Mapping[ListMask, int], columns: str) -> None:
    if members:
        ordered = sorted(members.items())
        change(
            tx,
            account_id,
            f"""
            SELECT list_id, {columns}
            FROM {tx.rows("members", list_id="bigint", mask="bigint", contacts="bigint")}
            """,
            members=Rows(
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


def change_stops(tx: Transaction, account_id: int, rows: Mapping[MaskChange, int]) -> None:
    """Count a change of the stop list.

    Args:
        rows: for each change of a mask the number of rows.
    """
    deltas: Counter[str] = Counter()
    for (before, after), count in rows.items():
        deltas["stops"] += count * (bool(after) - bool(before))
        for channel, value in CHANNELS.items():
            deltas[f"{channel}_stops"] += count * (bool(after & value) - bool(before & value))
    change_account(tx, account_id, **deltas)


def clear(tx: Transaction, account_id: int) -> None:
    """Set the counts of an account to 0, after everything in it was deleted, including its lists."""
    tx.run(
        f"UPDATE account SET {_zero(ACCOUNT_COUNTS)} WHERE account_id = :account_id",
        account_id=account_id,
    )


def restore(tx: Transaction, account_id: int) -> None:
    """Recount an account and its lists, and store the result, whatever the counts are now. The caller holds
    the account. The whole account is read."""
    tx.run(
        f"UPDATE contact_list SET {_zero(LIST_COUNTS)} WHERE account_id = :account_id",
        account_id=account_id,
    )
    tx.run(
        f"""
        UPDATE contact_list SET {_facts(LIST_COUNTS)} FROM ({FACTS_OF_LISTS}) AS fact
        WHERE contact_list.account_id = :account_id AND contact_list.id = fact.list_id
        """,
        account_id=account_id,
    )
    tx.run(
        f"""
        UPDATE account SET {_facts(ACCOUNT_COUNTS)} FROM ({FACTS_OF_ACCOUNT}) AS fact
        WHERE account.account_id = :account_id
        """,
        account_id=account_id,
    )


def _zero(names: Iterable[str]) -> str:
    return ", ".join(f"{name} = 0" for name in names)


def _facts(names: Iterable[str]) -> str:
    return ", ".join(f"{name} = fact.{name}" for name in names)
