"""The stop list: which phones must not be messaged, on which channels. It holds phones, not contacts, so
nothing that happens to a contact makes a stopped phone reachable again."""

from __future__ import annotations

import operator
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec

from rollbook import accounts, channels, counts, lists, search
from rollbook.channels import MASK_BITS, mask_of
from rollbook.counts import MaskChange
from rollbook.db import Integers, Rows, Transaction
from rollbook.errors import Invalid, Problem, RollbookError
from rollbook.phones import BadPhone, literally, old_forms, parse, renewed
from rollbook.search import COMPARISONS, Column, Criterion, Page, Search

T = TypeVar("T", bound=Any)

PHONES_MAX = 1_000
"""One call of `add` takes at most this many phones."""

ITEMS_MAX = 10_000
"""One call of `add_each` or `remove_each` takes at most this many phones, each with its own channels."""

REMOVED_AT_ONCE_MAX = 200
"""One call of `remove` takes at most this many rows."""

COLUMNS: Mapping[str, Column] = {
    "id": Column("integer", "stop_list.id", COMPARISONS),
    "phone": Column("phone", "stop_list.phone", ("like", "=")),
    "created_at": Column("moment", "stop_list.created_at", COMPARISONS, sortable=False, aliases=("date",)),
    "type": Column("channel", "stop_list.mask", ("=",), sortable=False, aliases=("types",)),
}
"""The columns by which the stop list can be searched and sorted."""


class Stop(msgspec.Struct, frozen=True):
    """A phone that is stopped on the channels of `mask` (see `channels`), at least on one."""

    id: int
    phone: int
    mask: int
    created_at: datetime


class Wanted(msgspec.Struct, frozen=True):
    """A phone, and the mask of channels on which to stop or release it.

    Args:
        doubt: the reason why the digits fit no numbering plan, as the end of a sentence that begins with the
            number; "" for a valid phone. Plans change: such digits are accepted where the account has them,
            in the book or on the stop list.
    """

    phone: int
    mask: int
    doubt: str = ""


class Step(msgspec.Struct, frozen=True):
    """The result for a phone: its mask before and after; 0 means that it is not stopped at all.

    Args:
        id: the id of its row; `None` when it has no row.
    """

    id: int | None
    before: int
    after: int


class Change(NamedTuple):
    """A phone's mask before and after; 0 means that it is not stopped at all."""

    phone: int
    before: int
    after: int


_ALL_BITS = (1 << MASK_BITS) - 1


def packed(phone: T, before: T, after: T) -> T:
    """Pack a `Change` into one whole number, or arrays of its parts into one array. The numbers sort by
    phone.

    Thousands of changes are sent to the database as one such array, without an object for each phone.
    """
    found: T = (phone << 2 * MASK_BITS) | (before << MASK_BITS) | after
    return found


def _phone(value: str) -> str:
    """SQL: the phone of a `packed` change."""
    return f"({value} >> {2 * MASK_BITS})"


def _before(value: str) -> str:
    """SQL: the mask before a `packed` change."""
    return f"(({value} >> {MASK_BITS}) & {_ALL_BITS})"


def _after(value: str) -> str:
    """SQL: the mask after a `packed` change."""
    return f"({value} & {_ALL_BITS})"


def wanted_of(text: str | int, mask: int = 0) -> Wanted:
    """Read a text as the phone of a `Wanted`.

    Args:
        text: in any form that `phones.parse` accepts.

    Raises:
        BadPhone: it cannot be a phone, not even one of a former numbering plan.
    """
    try:
        return Wanted(parse(text), mask)
    except BadPhone as error:
        phone = literally(str(text)) if isinstance(text, str) or text > 0 else None
        if phone is None:
            raise
        return Wanted(phone, mask, str(error))


_COLUMNS = "stop_list.id, stop_list.phone, stop_list.mask, stop_list.created_at"


def add(
    tx: Transaction,
    account_id: int,
    *,
    phones: Sequence[int],
    channels: Sequence[str],
    problems: Sequence[tuple[int, Problem]] = (),
) -> list[Stop]:
    """Stop phones on channels, whether or not they are contacts. Repeating a stop changes nothing.

    Args:
        phones: E.164 digits, `PHONES_MAX` at most.
        channels: keys of `channels.CHANNELS`.
        problems: pairs of a phone that has a doubt (see `Wanted`) and the problem to report if the account
            does not have that phone. With 0 as the phone the problem is always reported.

    Returns:
        The row of each phone, in the order of `phones`; a repeated phone appears once.

    Raises:
        Invalid: with the problems to report; nothing is stopped.
    """
    accounts.lock(tx, account_id)
    if problems:
        present = _present(tx, account_id, {phone for phone, _ in problems})
        if left := [problem for phone, problem in problems if phone not in present]:
            raise Invalid(left)
    asked = list(dict.fromkeys(phones))
    wanted = [*asked, *_also_in_old_form(tx, account_id, asked)]
    added = mask_of(channels)
    rows = {row.phone: row for row in _of_phones(tx, account_id, wanted)}
    new = [phone for phone in wanted if phone not in rows]
    changes = [Change(phone, 0, added) for phone in new]
    changes += [Change(row.phone, row.mask, row.mask | added) for row in rows.values() if added & ~row.mask]
    rows |= _inserted(tx, account_id, dict.fromkeys(new, added))
    _apply(tx, account_id, changes)
    masks = {change.phone: change.after for change in changes}
    return [msgspec.structs.replace(rows[phone], mask=masks.get(phone, rows[phone].mask)) for phone in asked]


def _also_in_old_form(tx: Transaction, account_id: int, phones: Sequence[int]) -> dict[int, int]:
    """The old forms of the phones under which there are contacts, each with its phone: a stop holds for both
    (docs/decisions/0025)."""
    forms = {old: phone for phone in phones for old in old_forms(phone)}
    asked = set(phones)
    return {
        old: forms[old]
        for old, new in contacts_in_old_form(tx, account_id, array("q", sorted(forms))).items()
        if old not in asked and new == forms[old]
    }


def contacts_in_old_form(tx: Transaction, account_id: int, forms: Any) -> dict[int, int]:
    """Find contacts whose phones are old forms.

    Args:
        forms: old forms to look for, ascending, as `Integers` takes them; may be empty.

    Returns:
        For each such phone the new form as which it is read.
    """
    if not len(forms):
        return {}
    stored = tx.all(
        int,
        f"""
        SELECT contact.phone FROM {tx.integers("old")} CROSS JOIN contact
        WHERE contact.account_id = :account_id AND contact.phone = old.value
        """,
        account_id=account_id,
        old=Integers(forms),
    )
    return {old: new for old in stored if (new := renewed(old)) is not None}


def _present(tx: Transaction, account_id: int, phones: Iterable[int]) -> set[int]:
    """The phones among `phones` that the account has, in the book or on the stop list."""
    return set(
        tx.all(
            int,
            f"""
            SELECT asked.phone FROM {tx.rows("asked", phone="bigint")}
            WHERE EXISTS (SELECT 1 FROM contact
                          WHERE contact.account_id = :account_id AND contact.phone = asked.phone)
               OR EXISTS (SELECT 1 FROM stop_list
                          WHERE stop_list.account_id = :account_id AND stop_list.phone = asked.phone)
            """,
            account_id=account_id,
            asked=Rows(phone=sorted(phones)),
        )
    )


def add_each(tx: Transaction, account_id: int, wanted: Sequence[Wanted]) -> list[Step | None]:
    """Stop phones, each on its own channels, as if they came one after another: a phone that comes twice is
    stopped on the channels of both.

    It takes a fixed number of statements for any number of phones.

    Args:
        wanted: `ITEMS_MAX` at most.

    Returns:
        For each of `wanted` the result for its phone at that point; `None` for a phone with a doubt that the
        account does not have.
    """
    taken = _taken(tx, account_id, wanted)
    asked = [each for each in taken if each is not None]
    also = _also_in_old_form(tx, account_id, [each.phone for each in asked])
    old = [Wanted(form, each.mask) for form, phone in also.items() for each in asked if each.phone == phone]
    steps = iter(_each(tx, account_id, [*asked, *old], operator.or_))
    return [None if each is None else next(steps) for each in taken]


def remove_each(tx: Transaction, account_id: int, wanted: Sequence[Wanted]) -> list[Step | None]:
    """Release phones, each on its own channels; see `add_each`."""
    taken = _taken(tx, account_id, wanted)
    asked = [each for each in taken if each is not None]
    steps = iter(_each(tx, account_id, asked, lambda before, mask: before & ~mask))
    return [None if each is None else next(steps) for each in taken]


def _taken(tx: Transaction, account_id: int, wanted: Sequence[Wanted]) -> list[Wanted | None]:
    """`wanted`, with `None` for each phone with a doubt that the account does not have."""
    accounts.lock(tx, account_id)
    doubted = {each.phone for each in wanted if each.doubt}
    present = _present(tx, account_id, doubted) if doubted else set()
    return [each if not each.doubt or each.phone in present else None for each in wanted]


def remove(tx: Transaction, account_id: int, *, ids: Sequence[int], channels: Sequence[str]) -> None:
    """Release the phones of rows on channels. A row without channels is deleted.

    Args:
        ids: ids of rows, `REMOVED_AT_ONCE_MAX` at most; unknown ids are ignored.
        channels: keys of `channels.CHANNELS`.
    """
    accounts.lock(tx, account_id)
    removed = mask_of(channels)
    rows = tx.all(
        Stop,
        f"""
        SELECT {_COLUMNS} FROM {tx.rows("wanted", id="bigint")} CROSS JOIN stop_list
        WHERE stop_list.account_id = :account_id AND stop_list.id = wanted.id
        """,
        account_id=account_id,
        wanted=Rows(id=sorted(set(ids))),
    )
    _apply(
        tx,
        account_id,
        [Change(row.phone, row.mask, row.mask & ~removed) for row in rows if row.mask & removed],
    )


def find(tx: Transaction, account_id: int, wanted: Search, *, list_id: int | None = None) -> Page[Stop]:
    """One page of the stop list.

    Args:
        list_id: return only phones of this list's contacts; an unknown list has no contacts.

    Raises:
        Invalid: a field, operator, value or sort that the stop list does not have, or an unknown
            `page.after` in an order that needs the row itself.
    """
    matching, values = search.where(tx, COLUMNS, wanted.criteria)
    ordered = search.order(COLUMNS, wanted)
    behind, place = search.after("stop_list", COLUMNS, wanted)
    if list_id is not None:
        matching += _of_list(tx, account_id, list_id)
        values["list_id"] = list_id
    rows = tx.all(
        Stop,
        f"""
        SELECT {_COLUMNS} FROM stop_list
        WHERE stop_list.account_id = :account_id {matching} {behind}
        ORDER BY {ordered} LIMIT :limit OFFSET :offset
        """,
        account_id=account_id,
        limit=wanted.page.rows_to_read,
        offset=wanted.page.offset,
        **values,
        **place,
    )
    after = wanted.page.after
    if not rows and after is not None and wanted.sort != "id" and not _exists(tx, account_id, after):
        raise search.unknown_place()
    total = None
    if list_id is None:
        total = _kept_total(tx, account_id, wanted.criteria)
    if total is None:
        total = tx.one(
            int,
            f"SELECT count(*) FROM stop_list WHERE stop_list.account_id = :account_id {matching}",
            account_id=account_id,
            **values,
        )
    return Page.of(rows, total, wanted.page)


def _exists(tx: Transaction, account_id: int, stop_id: int) -> bool:
    sql = "SELECT id FROM stop_list WHERE account_id = :account_id AND id = :id"
    return tx.one(int, sql, account_id=account_id, id=stop_id) is not None


def _kept_total(tx: Transaction, account_id: int, criteria: Sequence[Criterion]) -> int | None:
    """The number of matching rows where a stored count gives it, else `None`."""
    column = "stops"
    if len(criteria) == 1 and COLUMNS.get(criteria[0].field) is COLUMNS["type"]:
        [channel] = channels.parse([criteria[0].value])
        column = f"{channel}_stops"
    elif criteria:
        return None
    return tx.one(int, f"SELECT {column} FROM account WHERE account_id = :account_id", account_id=account_id)


def _of_list(tx: Transaction, account_id: int, list_id: int) -> str:
    """SQL: the phone belongs to a contact in the list `:list_id`. It starts from the side with fewer rows."""
    try:
        items = lists.get(tx, account_id, list_id).items
    except RollbookError:
        return " AND FALSE"
    stops = _kept_total(tx, account_id, ()) or 0
    if items < stops:
        return """
            AND stop_list.phone IN (
                SELECT contact.phone FROM membership CROSS JOIN contact
                WHERE membership.account_id = :account_id AND membership.list_id = :list_id
                  AND contact.account_id = :account_id AND contact.id = membership.contact_id
                  AND contact.stop_mask <> 0
            )
        """
    return """
        AND EXISTS (
            SELECT 1 FROM contact CROSS JOIN membership
            WHERE contact.account_id = :account_id AND contact.phone = stop_list.phone
              AND membership.account_id = :account_id AND membership.list_id = :list_id
              AND membership.contact_id = contact.id
        )
    """


def _of_phones(tx: Transaction, account_id: int, phones: Sequence[int]) -> list[Stop]:
    return tx.all(
        Stop,
        f"""
        SELECT {_COLUMNS} FROM {tx.rows("wanted", phone="bigint")} CROSS JOIN stop_list
        WHERE stop_list.account_id = :account_id AND stop_list.phone = wanted.phone
        """,
        account_id=account_id,
        wanted=Rows(phone=list(phones)),
    )


def _each(
    tx: Transaction, account_id: int, wanted: Sequence[Wanted], after: Callable[[int, int], int]
) -> list[Step]:
    rows = {row.phone: row for row in _of_phones(tx, account_id, sorted({each.phone for each in wanted}))}
    masks = {phone: row.mask for phone, row in rows.items()}
    steps = []
    for each in wanted:
        before = masks.get(each.phone, 0)
        masks[each.phone] = after(before, each.mask)
        steps.append((each.phone, before, masks[each.phone]))
    new = {phone: mask for phone, mask in masks.items() if mask and phone not in rows}
    changes = [Change(row.phone, row.mask, masks[row.phone]) for row in rows.values()]
    changes += [Change(phone, 0, mask) for phone, mask in new.items()]
    rows |= _inserted(tx, account_id, new)
    _apply(tx, account_id, [change for change in changes if change.before != change.after])
    return [Step(rows[phone].id if masks[phone] else None, before, now) for phone, before, now in steps]


def _inserted(tx: Transaction, account_id: int, masks: Mapping[int, int]) -> dict[int, Stop]:
    """Insert rows; returns the new ones by phone. Counts and contacts are not updated yet."""
    if not masks:
        return {}
    ids = tx.new_ids("stop_list", len(masks))
    rows = {
        phone: Stop(id=id, phone=phone, mask=masks[phone], created_at=tx.now)
        for id, phone in zip(ids, masks, strict=True)
    }
    ordered = sorted(rows)
    tx.run(
        f"""
        INSERT INTO stop_list (account_id, phone, id, mask, created_at)
        SELECT :account_id, new.phone, new.id, new.mask, :now
        FROM {tx.rows("new", phone="bigint", id="bigint", mask="bigint")}
        """,
        account_id=account_id,
        now=tx.now,
        new=Rows(
            phone=ordered,
            id=[rows[phone].id for phone in ordered],
            mask=[rows[phone].mask for phone in ordered],
        ),
    )
    return rows


def insert(tx: Transaction, account_id: int, changes: Integers) -> None:
    """Insert rows with ids in the order of their phones. Call `apply` next: it updates contacts and counts.

    Args:
        changes: `packed` changes, ascending, of phones that have no row yet.
    """
    tx.run(
        f"""
        INSERT INTO stop_list (account_id, phone, id, mask, created_at)
        SELECT :account_id, {_phone("new.value")}, :first_id + new.place - 1, {_after("new.value")}, :now
        FROM {tx.integers("new")}
        """,
        account_id=account_id,
        first_id=tx.new_ids("stop_list", len(changes.values))[0],
        now=tx.now,
        new=changes,
    )


def _apply(tx: Transaction, account_id: int, changes: Sequence[Change]) -> None:
    """See `apply`."""
    if changes:
        numbers = array("q", sorted(packed(*change) for change in changes))
        ways = Counter(MaskChange(change.before, change.after) for change in changes)
        apply(tx, account_id, Integers(numbers), ways)


def apply(tx: Transaction, account_id: int, changes: Integers, ways: Mapping[MaskChange, int]) -> None:
    """Write changed masks to the stop list, the contacts and every count. The caller holds the account.

    Tables that may have millions of rows are updated WHERE their key is IN the changes, not with UPDATE ...
    FROM: for the latter SQLite without statistics would read the whole account (docs/decisions/0018).

    Args:
        changes: `packed` changes, ascending. New rows (`before` is 0) are in the stop list already.
        ways: for each change of a mask the number of phones.
    """
    for mask in sorted({after for before, after in ways if before and after}):  # at most 15 of them
        tx.run(
            f"""
            UPDATE stop_list SET mask = :mask WHERE stop_list.account_id = :account_id
            AND stop_list.phone IN (
                SELECT {_phone("changed.value")} FROM {tx.integers("changed")}
                WHERE {_before("changed.value")} <> 0 AND {_after("changed.value")} = :mask
            )
            """,
            account_id=account_id,
            mask=mask,
            changed=changes,
        )
    if any(not after for _, after in ways):
        tx.run(
            f"""
            DELETE FROM stop_list WHERE stop_list.account_id = :account_id
            AND stop_list.phone IN (
                SELECT {_phone("changed.value")} FROM {tx.integers("changed")}
                WHERE {_after("changed.value")} = 0
            )
            """,
            account_id=account_id,
            changed=changes,
        )
    if _any_contact(tx, account_id, changes):
        _apply_to_contacts(tx, account_id, changes, {after for _, after in ways})
    counts.change_stops(tx, account_id, ways)


def _any_contact(tx: Transaction, account_id: int, changes: Integers) -> bool:
    """Whether the book has any contact from the first phone to the last. If not, as in a file of opt-outs
    from elsewhere, the phones need no look-up."""
    found = tx.one(
        int,
        f"""
        SELECT id FROM contact
        WHERE account_id = :account_id AND phone >= {_phone(":first")} AND phone <= {_phone(":last")}
        ORDER BY phone LIMIT 1
        """,
        account_id=account_id,
        first=int(changes.values[0]),
        last=int(changes.values[-1]),
    )
    return found is not None


def _apply_to_contacts(tx: Transaction, account_id: int, changes: Integers, masks: Iterable[int]) -> None:
    """Write changed masks to the contacts, and to the counts of their lists.

    Args:
        masks: all different masks after the changes.
    """
    counts.change(
        tx,
        account_id,
        f"""
        SELECT membership.list_id, {counts.staying(_before("changed.value"), _after("changed.value"))}
        FROM {tx.integers("changed")} CROSS JOIN contact CROSS JOIN membership
        WHERE contact.account_id = :account_id AND contact.phone = {_phone("changed.value")}
          AND membership.account_id = :account_id AND membership.contact_id = contact.id
        """,
        changed=changes,
    )
    for mask in sorted(masks):  # at most 16 of them
        tx.run(
            f"""
            UPDATE contact SET stop_mask = :mask WHERE contact.account_id = :account_id AND contact.id IN (
                SELECT stopped.id FROM {tx.integers("changed")} CROSS JOIN contact AS stopped
                WHERE stopped.account_id = :account_id AND stopped.phone = {_phone("changed.value")}
                  AND {_after("changed.value")} = :mask
            )
            """,
            account_id=account_id,
            mask=mask,
            changed=changes,
        )


def masks_of(tx: Transaction, account_id: int, phones: Sequence[int]) -> dict[int, int]:
    """The stop masks of phones; phones that are not stopped are left out."""
    return {row.phone: row.mask for row in _of_phones(tx, account_id, sorted(set(phones)))}


def copy_masks(tx: Transaction, account_id: int, contact_ids: str, /, **params: Any) -> None:
    """Copy the stop masks of the stop list to contacts. The caller updates the counts.

    Args:
        contact_ids: a SELECT of the contacts' ids.
        params: the parameters of `contact_ids`.
    """
    tx.run(
        f"""
        UPDATE contact SET stop_mask = coalesce(
            (SELECT mask FROM stop_list
             WHERE stop_list.account_id = :account_id AND stop_list.phone = contact.phone), 0)
        WHERE contact.account_id = :account_id AND contact.id IN ({contact_ids})
        """,
        account_id=account_id,
        **params,
    )
