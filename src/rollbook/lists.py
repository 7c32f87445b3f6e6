"""Contact lists: each has a name and exact counts, and one list of an account may be the default."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

import msgspec

from rollbook import accounts, counts, leftovers, search, texts
from rollbook.db import Rows, SetBased, Taken, Transaction
from rollbook.errors import AlreadyExists, Invalid, NotFound, Problem, RollbookError
from rollbook.search import COMPARISONS, TEXTUAL, Column, Page

NAME_LENGTH_MIN = 3
NAME_LENGTH_MAX = 50
DESCRIPTION_LENGTH_MAX = 255
"""Characters (code points) after normalization; strict clients refuse a longer description."""

COLUMNS: Mapping[str, Column] = {
    "id": Column("integer", "id", COMPARISONS),
    "name": Column("text", "name", TEXTUAL),
    "items": Column("integer", "items", COMPARISONS),
    "created_at": Column("moment", "created_at", COMPARISONS, aliases=("date",)),
    "phone": Column(
        "phone",
        "contact.phone",
        ("like", "="),
        sortable=False,
        within="""
            id IN (
                SELECT membership.list_id FROM contact CROSS JOIN membership
                WHERE contact.account_id = :account_id AND {}
                  AND membership.account_id = :account_id AND membership.contact_id = contact.id
            )
        """,
    ),
    "description": Column("text", "description", TEXTUAL),
}
"""The columns by which lists can be searched and sorted."""


class ContactList(msgspec.Struct, frozen=True):
    """A contact list. `items` counts its contacts, `stop_list_count` the contacts among them whose phone is
    on the SMS or the Viber stop list. Every writer keeps both counts exact."""

    id: int
    name: str
    description: str | None
    is_default: bool
    created_at: datetime
    items: int
    stop_list_count: int


class Stats(msgspec.Struct, frozen=True):
    """The counts of a list: all its contacts, and the contacts that are stopped on each channel."""

    id: int
    items: int
    stop_list_count: int
    sms_stopped: int
    viber_stopped: int
    rcs_stopped: int
    whatsapp_stopped: int


class NewList(msgspec.Struct, frozen=True):
    """A list to create.

    Raises:
        Invalid: naming every value that breaks a rule.
    """

    name: str
    description: str | None = None
    is_default: bool = False

    def __post_init__(self) -> None:
        texts.clean(self, RULES)


class ListChange(msgspec.Struct, frozen=True):
    """A change to a list. Absent values stay as they are.

    Raises:
        Invalid: naming every value that breaks a rule.
    """

    name: str | msgspec.UnsetType = msgspec.UNSET
    description: str | msgspec.UnsetType | None = msgspec.UNSET
    is_default: bool | msgspec.UnsetType = msgspec.UNSET

    def __post_init__(self) -> None:
        texts.clean(self, RULES)


class _Named(msgspec.Struct, frozen=True):
    id: int
    name: str


class _Deleted(msgspec.Struct, frozen=True):
    id: int
    items: int


def clean_name(name: str) -> str:
    """The form of a list's name that is stored and compared; see `texts.name`."""
    return texts.name(name, low=NAME_LENGTH_MIN, high=NAME_LENGTH_MAX)


def clean_description(description: str | None) -> str | None:
    """The form of a list's description that is stored; see `texts.description`."""
    return texts.description(description, high=DESCRIPTION_LENGTH_MAX)


RULES: Mapping[str, Callable[[str], str | None]] = {
    "name": clean_name,
    "description": clean_description,
}


_NEW_COLUMNS = {
    "id": "bigint",
    "name": "text",
    "name_folded": "text",
    "description": "text",
    "description_folded": "text",
}


def create_many(
    tx: Transaction, account_id: int, news: Sequence[NewList]
) -> list[ContactList | RollbookError]:
    """Create lists with one statement.

    Returns:
        For each of `news` the list, or `AlreadyExists` when its name is taken by a stored list or by an
        earlier one of `news`.
    """
    wants_default = any(new.is_default for new in news)
    if wants_default:
        accounts.lock(tx, account_id)
    ids = tx.new_ids("contact_list", len(news))
    # Names in order, so that two transactions never deadlock on each other's names; an id with each, so that
    # the statement's answer says which rows went in.
    rows = sorted(zip(ids, news, strict=True), key=lambda row: row[1].name)
    created = tx.insert_new(
        "contact_list",
        ids,
        f"""
        INSERT INTO contact_list (account_id, id, name, name_folded, description, description_folded,
                                  is_default, created_at, items, stop_list_count)
        SELECT :account_id, new.id, new.name, new.name_folded, new.description, new.description_folded,
               FALSE, :now, 0, 0
        FROM {tx.rows("new", **_NEW_COLUMNS)} WHERE TRUE
        ON CONFLICT (account_id, name) DO NOTHING
        """,
        account_id=account_id,
        now=tx.now,
        new=Rows(
            id=[id for id, _ in rows],
            name=[new.name for _, new in rows],
            name_folded=[search.fold(new.name) for _, new in rows],
            description=[new.description for _, new in rows],
            description_folded=[search.fold(new.description or "") for _, new in rows],
        ),
    )
    outcomes: list[ContactList | RollbookError] = []
    default_id: int | None = None
    for id, new in zip(ids, news, strict=True):
        if id in created:
            outcomes.append(_just_created(tx, id, new))
            default_id = id if new.is_default else default_id
        else:
            outcomes.append(AlreadyExists("list", new.name))
    if default_id is not None:
        _make_default(tx, account_id, default_id)
    return outcomes


def _just_created(tx: Transaction, id: int, new: NewList) -> ContactList:
    return ContactList(
        id=id,
        name=new.name,
        description=new.description,
        is_default=new.is_default,
        created_at=tx.now,
        items=0,
        stop_list_count=0,
    )


def _create(tx: Transaction, account_id: int, new: NewList) -> ContactList:
    """Create a list. If it is the default, it replaces the former default list.

    Raises:
        AlreadyExists: the name is taken.
    """
    [outcome] = create_many(tx, account_id, [new])
    if isinstance(outcome, RollbookError):
        raise outcome
    return outcome


create = SetBased(_create, create_many, one_statement=lambda news: not any(new.is_default for new in news))


_COLUMNS = "id, name, description, is_default, created_at, items, stop_list_count"
_GET = f"SELECT {_COLUMNS} FROM contact_list WHERE account_id = :account_id AND id = :list_id"


def get_many(tx: Transaction, account_id: int, list_ids: Sequence[int]) -> list[ContactList | RollbookError]:
    """Look up lists with one statement. Returns for each id the list, or `NotFound`."""
    rows = tx.all(
        ContactList,
        f"""
        SELECT {", ".join(f"contact_list.{column}" for column in _COLUMNS.split(", "))}
        FROM {tx.rows("wanted", id="bigint")} CROSS JOIN contact_list
        WHERE contact_list.account_id = :account_id AND contact_list.id = wanted.id
        """,
        account_id=account_id,
        wanted=Rows(id=list(dict.fromkeys(list_ids))),
    )
    found = {row.id: row for row in rows}
    return [found.get(id) or NotFound("list", id) for id in list_ids]


def _get(tx: Transaction, account_id: int, list_id: int) -> ContactList:
    """One list.

    Raises:
        NotFound: the account has no list with that id.
    """
    found = tx.one(ContactList, _GET, account_id=account_id, list_id=list_id)
    if found is None:
        raise NotFound("list", list_id)
    return found


get = SetBased(_get, get_many, one_statement=lambda _: True)


def existing(tx: Transaction, account_id: int, list_ids: Iterable[int]) -> set[int]:
    """The ids among `list_ids` that belong to lists of the account."""
    return set(
        tx.all(
            int,
            f"""
            SELECT contact_list.id FROM {tx.rows("wanted", id="bigint")} CROSS JOIN contact_list
            WHERE contact_list.account_id = :account_id AND contact_list.id = wanted.id
            """,
            account_id=account_id,
            wanted=Rows(id=sorted(set(list_ids))),
        )
    )


MEANING = "LIST is its name, or its id as #12; 12 alone is the id where no list has that name."
"""How people name a list, in every command and parameter; see `resolve`."""

ID = re.compile("#?([0-9]+)")
"""Texts that may be the id of a list."""


def resolve(tx: Transaction, account_id: int, words: Sequence[str]) -> list[int]:
    """The ids of lists that are given by name or id.

    Args:
        words: a name or an id each; see `MEANING`.

    Raises:
        Invalid: naming every word that matches no list.
    """
    found = _ids_of(tx, account_id, words)
    if unknown := [word for word, id in found.items() if id is None]:
        raise Invalid([Problem("list", f"There is no contact list {word!r}.") for word in unknown])
    return [id for word in words if (id := found[word]) is not None]


def resolve_or_new(tx: Transaction, account_id: int, word: str) -> int | str:
    """The id of a list that is given by name or id, or the name of a list that does not exist yet.

    Args:
        word: a name or an id; see `MEANING`.

    Raises:
        Invalid: the word is an id, `#12`, that no list has, or `12`, which cannot be a name.
    """
    id = _ids_of(tx, account_id, [word])[word]
    if id is not None:
        return id
    if ID.fullmatch(word.strip()) and ("#" in word or len(word.strip()) < NAME_LENGTH_MIN):
        raise Invalid([Problem("list", f"There is no contact list {word!r}.")])
    return word


def _ids_of(tx: Transaction, account_id: int, words: Sequence[str]) -> dict[str, int | None]:
    names = {word: texts.normal(word.strip()) for word in words}
    ids = {word: int(digits[1]) for word in words if (digits := ID.fullmatch(word.strip()))}
    found = tx.all(
        _Named,
        f"""
        SELECT id, name FROM contact_list
        WHERE account_id = :account_id AND ({tx.any_of("name", "names")} OR {tx.any_of("id", "ids")})
        """,
        account_id=account_id,
        names=list(names.values()),
        ids=[id for id in ids.values() if id <= search.ID_MAX],
    )
    by_name = {each.name: each.id for each in found}
    existing_ids = set(by_name.values())
    wanted = {word: by_name.get(names[word]) or ids.get(word) for word in words}
    return {word: id if id in existing_ids else None for word, id in wanted.items()}


def update(tx: Transaction, account_id: int, list_id: int, change: ListChange) -> ContactList:
    """Change the values that `change` names. If the list becomes the default, it replaces the former one.

    Raises:
        NotFound: the account has no list with that id.
        AlreadyExists: another list has that name.
    """
    accounts.lock(tx, account_id)  # this changes rows that hold counts: every writer locks in one order
    sets: list[str] = []
    values: dict[str, object] = {}
    if change.name is not msgspec.UNSET:
        sets.append("name = :name, name_folded = :name_folded")
        values |= {"name": change.name, "name_folded": search.fold(change.name)}
    if change.description is not msgspec.UNSET:
        sets.append("description = :description, description_folded = :description_folded")
        values |= {
            "description": change.description,
            "description_folded": search.fold(change.description or ""),
        }
    if change.is_default is not msgspec.UNSET:
        if change.is_default:
            _clear_default(tx, account_id)
        sets.append("is_default = :is_default")
        values["is_default"] = change.is_default
    if not sets:
        return _get(tx, account_id, list_id)
    try:
        changed = tx.one(
            ContactList,
            f"""
            UPDATE contact_list SET {", ".join(sets)}
            WHERE account_id = :account_id AND id = :list_id
            RETURNING {_COLUMNS}
            """,
            account_id=account_id,
            list_id=list_id,
            **values,
        )
    except Taken as error:
        raise AlreadyExists("list", change.name) from error
    if changed is None:
        raise NotFound("list", list_id)
    return changed


def delete(tx: Transaction, account_id: int, list_id: int) -> None:
    """Delete a list; its contacts stay in the book. The list is gone at once; `leftovers` removes its
    members.

    Raises:
        NotFound: the account has no list with that id.
    """
    accounts.lock(tx, account_id)
    deleted = tx.one(
        _Deleted,
        "DELETE FROM contact_list WHERE account_id = :account_id AND id = :list_id RETURNING id, items",
        account_id=account_id,
        list_id=list_id,
    )
    if deleted is None:
        raise NotFound("list", list_id)
    if deleted.items > leftovers.CHUNK_ROWS:
        leftovers.leave(tx, account_id, "list", [list_id])
    elif deleted.items:
        leftovers.remove_all(tx, account_id, "list", list_id)


def stats(tx: Transaction, account_id: int, list_id: int) -> Stats:
    """The exact counts of a list. Reading them costs the same for a list of any size.

    Raises:
        NotFound: the account has no list with that id.
    """
    found = tx.one(
        Stats,
        f"""
        SELECT id, {", ".join(counts.LIST_COUNTS)} FROM contact_list
        WHERE account_id = :account_id AND id = :list_id
        """,
        account_id=account_id,
        list_id=list_id,
    )
    if found is None:
        raise NotFound("list", list_id)
    return found


def find(tx: Transaction, account_id: int, wanted: search.Search) -> Page[ContactList]:
    """One page of the lists that meet all criteria.

    Raises:
        Invalid: a field, operator, value or sort that lists do not have, or an unknown
            `page.after` in an order that needs the row itself.
    """
    matching, values = search.where(tx, COLUMNS, wanted.criteria)
    ordered = search.order(COLUMNS, wanted)
    behind, place = search.after("contact_list", COLUMNS, wanted)
    rows = tx.all(
        ContactList,
        f"""
        SELECT {_COLUMNS} FROM contact_list
        WHERE account_id = :account_id {matching} {behind}
        ORDER BY {ordered} LIMIT :limit OFFSET :offset
        """,
        account_id=account_id,
        limit=wanted.page.rows_to_read,
        offset=wanted.page.offset,
        **values,
        **place,
    )
    after = wanted.page.after
    if not rows and after is not None and wanted.sort != "id":
        [found] = get_many(tx, account_id, [after])
        if isinstance(found, NotFound):
            raise search.unknown_place()
    total = tx.one(
        int,
        f"SELECT count(*) FROM contact_list WHERE account_id = :account_id {matching}",
        account_id=account_id,
        **values,
    )
    return Page.of(rows, total, wanted.page)


def _make_default(tx: Transaction, account_id: int, list_id: int) -> None:
    _clear_default(tx, account_id)
    tx.run(
        "UPDATE contact_list SET is_default = TRUE WHERE account_id = :account_id AND id = :list_id",
        account_id=account_id,
        list_id=list_id,
    )


def _clear_default(tx: Transaction, account_id: int) -> None:
    tx.run(
        "UPDATE contact_list SET is_default = FALSE WHERE account_id = :account_id AND is_default",
        account_id=account_id,
    )
