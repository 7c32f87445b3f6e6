"""Searches for contacts: by criteria and by list, page by page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from rollbook import contacts, fields, leftovers, lists, search
from rollbook.contacts import Contact
from rollbook.db import Transaction
from rollbook.search import COMPARISONS, Column, Condition, Criterion, Page, PageRequest, Search

LISTS_MAX = 100
"""One call shows the contacts of at most this many lists."""

COLUMNS: Mapping[str, Column] = {
    "id": Column("integer", "contact.id", COMPARISONS),
    "phone": Column("phone", "contact.phone", ("like", "=")),
    "group_id": Column(
        "integer",
        "membership.list_id",
        ("=",),
        sortable=False,
        within=f"""
            EXISTS (
                SELECT 1 FROM membership
                WHERE membership.account_id = :account_id AND {{}} AND membership.contact_id = contact.id
                  AND {leftovers.shown("list", "membership.list_id")}
            )
        """,
    ),
    "created_at": Column("moment", "contact.created_at", COMPARISONS, sortable=False, aliases=("date",)),
}
"""The columns by which contacts can be searched and sorted, besides the account's fields
(`fields.columns`)."""


class _ListAndBook(msgspec.Struct, frozen=True):
    """The number of a list's contacts, and of all contacts of its account."""

    items: int
    contacts: int


def find(tx: Transaction, account_id: int, wanted: Search) -> Page[Contact]:
    """One page of the contacts that meet all criteria.

    Raises:
        Invalid: a field, operator, value or sort that contacts do not have, or an unknown `page.after` in
            an order that needs the row itself.
    """
    columns = dict(COLUMNS)
    of_fields: dict[str, Column] = {}
    if any(search.canonical(columns, criterion.field) is None for criterion in wanted.criteria):
        of_fields = fields.columns(fields.all(tx, account_id))
    columns |= of_fields
    conditions = search.conditions(columns, wanted.criteria)
    source = _source(tx, account_id, of_fields, wanted, conditions)
    columns |= source.columns
    matching, values = search.where(tx, columns, source.conditions)
    params = {"account_id": account_id, **source.params, **values}
    return _page(tx, account_id, columns, wanted, f"{source.sql} {matching}", params, source.total)


@dataclass(frozen=True)
class _Source:
    """The rows from which the contacts of a search are read.

    Args:
        sql: the SQL after FROM, including its WHERE.
        conditions: the conditions that `sql` does not cover.
        columns: columns that replace those of `COLUMNS`.
        total: the number of rows, where it is known.
    """

    sql: str
    conditions: Sequence[Condition]
    columns: Mapping[str, Column] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    total: int | None = None


_BOOK = "contact WHERE contact.account_id = :account_id"


def _source(
    tx: Transaction,
    account_id: int,
    of_fields: Mapping[str, Column],
    wanted: Search,
    conditions: Sequence[Condition],
) -> _Source:
    """The source with the fewest rows to read."""
    if not conditions:
        sql = "SELECT contacts FROM account WHERE account_id = :account_id"
        return _Source(_BOOK, conditions, total=tx.one(int, sql, account_id=account_id))
    in_list = next((condition for condition in conditions if condition.field == "group_id"), None)
    if in_list is not None:
        return _in_list(tx, account_id, in_list, wanted, conditions)
    named = {condition.field for condition in conditions}
    if wanted.sort == "id" and len(named) == 1 and (name := named.pop()) in of_fields:
        # A value is deleted with its contact, so the table of values is enough (docs/decisions/0013). `+`
        # keeps the engines from walking through all values in the order of the ids.
        sql = "field_value WHERE field_value.account_id = :account_id AND field_value.field_id = :field_id"
        columns = {
            "id": replace(COLUMNS["id"], sql="+field_value.contact_id"),
            name: fields.alone(of_fields[name]),
        }
        return _Source(sql, conditions, columns, {"field_id": int(name)})
    return _Source(_BOOK, conditions)


def _in_list(
    tx: Transaction, account_id: int, in_list: Condition, wanted: Search, conditions: Sequence[Condition]
) -> _Source:
    """The source for the contacts of a list: the list itself, or the book in the order of phones, when the
    list holds so much of the book that its contacts are found soon enough."""
    list_id = in_list.operand
    counted = tx.one(
        _ListAndBook,
        """
        SELECT contact_list.items, account.contacts FROM contact_list CROSS JOIN account
        WHERE contact_list.account_id = :account_id AND contact_list.id = :list_id
          AND account.account_id = :account_id
        """,
        account_id=account_id,
        list_id=list_id,
    )
    rest = tuple(condition for condition in conditions if condition is not in_list)
    if counted is None:  # the leftovers of a deleted list are not shown
        return _Source(f"{_BOOK} AND FALSE", rest, total=0)
    total = counted.items if not rest else None
    if wanted.sort != "id" and counted.items**2 >= wanted.page.limit * counted.contacts:
        return _Source(_BOOK, conditions, total=total)
    sql = """
        membership CROSS JOIN contact
        WHERE membership.account_id = :account_id AND membership.list_id = :in_list
          AND contact.account_id = :account_id AND contact.id = membership.contact_id
    """
    # Sorted by id, rows are read in the order in which the list is stored.
    by_id = {"id": replace(COLUMNS["id"], sql="membership.contact_id")} if wanted.sort == "id" else {}
    return _Source(sql, rest, by_id, {"in_list": list_id}, total)


def of_lists(tx: Transaction, account_id: int, list_ids: Sequence[int], page: PageRequest) -> Page[Contact]:
    """One page of the contacts that are in at least one of the lists, newest first.

    Args:
        list_ids: `LISTS_MAX` at most; unknown lists have no contacts.
    """
    existing = sorted(lists.existing(tx, account_id, list_ids))
    if not existing:
        return Page([], 0, None)
    if len(existing) == 1:
        return find(tx, account_id, Search((Criterion("group_id", "=", str(existing[0])),), page=page))
    parameters = {f"list_{number}": list_id for number, list_id in enumerate(existing)}
    of_list = "SELECT contact_id FROM membership WHERE account_id = :account_id AND list_id = :{}"
    # First the newest of each list, then the newest of these: each list is read only as far as a page needs.
    behind = "AND contact_id < :after" if page.after is not None else ""
    newest = " UNION ".join(
        f"""
        SELECT contact_id FROM (
            {of_list.format(name)} {behind} ORDER BY contact_id DESC LIMIT :most
        ) AS newest_{name}
        """
        for name in parameters
    )
    place = {"after": page.after} if page.after is not None else {}
    ids = tx.all(
        int,
        f"{newest} ORDER BY contact_id DESC LIMIT :limit OFFSET :offset",
        account_id=account_id,
        most=page.offset + page.rows_to_read,
        limit=page.rows_to_read,
        offset=page.offset,
        **parameters,
        **place,
    )
    # One look-up for each list: with `list_id IN (...)` SQLite would read every membership of the account.
    everyone = " UNION ".join(of_list.format(name) for name in parameters)
    sql = f"SELECT count(*) FROM ({everyone}) AS everyone"
    total = tx.one(int, sql, account_id=account_id, **parameters)
    return _with_contacts(tx, account_id, Page.of(ids, total, page, id_of=int))


def _page(
    tx: Transaction,
    account_id: int,
    columns: Mapping[str, Column],
    wanted: Search,
    source: str,
    params: Mapping[str, object],
    kept: int | None,
) -> Page[Contact]:
    """One page of the rows of `source`.

    Args:
        source: the SQL after FROM, including its WHERE.
        kept: the number of rows, where it is known.
    """
    ordered = search.order(columns, wanted)
    behind, place = search.after("contact", columns, wanted)
    ids = tx.all(
        int,
        f"""
        SELECT {columns["id"].sql} FROM {source} {behind}
        ORDER BY {ordered} LIMIT :limit OFFSET :offset
        """,
        limit=wanted.page.rows_to_read,
        offset=wanted.page.offset,
        **params,
        **place,
    )
    if (
        not ids
        and wanted.page.after is not None
        and wanted.sort != "id"
        and not contacts.get_many(tx, account_id, [wanted.page.after])
    ):
        raise search.unknown_place()
    total = kept if kept is not None else tx.one(int, f"SELECT count(*) FROM {source}", **params)
    return _with_contacts(tx, account_id, Page.of(ids, total, wanted.page, id_of=int))


def _with_contacts(tx: Transaction, account_id: int, page: Page[int]) -> Page[Contact]:
    """Turn a page of ids into a page of contacts."""
    return Page(contacts.get_many(tx, account_id, page.rows), page.total, page.next)
