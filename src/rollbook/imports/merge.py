"""Merges a chunk of staged phones into the book: planned first, then applied in one transaction.

A dry run only plans. A real import plans and applies inside one transaction, under the lock of the account.
So both count the same, and the counts of lists are correct after each chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from rollbook import accounts, contacts, counts, fields, imports, lists, members
from rollbook.channels import CHANNELS, mask_of
from rollbook.counts import ListMask
from rollbook.db import Integers, Rows, Transaction
from rollbook.errors import NotFound
from rollbook.fields import Type
from rollbook.imports import Import, Report, journal, stops
from rollbook.imports.journal import Chunk
from rollbook.imports.spec import ImportSpec

Ids = NDArray[np.int64]

_NONE: Ids = np.zeros(0, np.int64)


class Used(NamedTuple):
    """A field that a column of values fills; without an id where a dry run would create it."""

    id: int | None
    type: Type


GONE = Used(-1, "text")
"""A field that was deleted while the import was under way."""


class Goal(NamedTuple):
    """What an import does with every phone.

    Args:
        list_id: the list that they join; `None` for none, or for one that a dry run would create.
        joins: whether they join a list at all.
        creates: whether phones that are not in the book become contacts.
        into_book: false when they only go to the stop list.
        stop: the channels on which all of them are stopped.
        fields: the field of each column of values.
    """

    list_id: int | None
    joins: bool
    creates: bool
    into_book: bool
    stop: Sequence[str]
    fields: Sequence[Used]


def goal(spec: ImportSpec, list_id: int | None, used: Sequence[Used], *, only_stops: bool = False) -> Goal:
    """The goal of a spec, once the list and the fields are known.

    Args:
        only_stops: whether the file turned out to be an export of the stop list.
    """
    return Goal(
        list_id=list_id,
        joins=spec.list is not None,
        creates=spec.mode != "update",
        into_book=spec.into_book and not only_stops,
        stop=spec.stop,
        fields=used,
    )


def goal_of(tx: Transaction, account_id: int, import_: Import) -> Goal:
    """What an import does with each phone. A field that was deleted meanwhile is not filled any more."""
    existing = {field.id: field for field in fields.all(tx, account_id)}
    used: list[Used] = []
    for field_id in import_.report.field_ids:
        if field_id == 0:
            used.append(Used(None, "text"))
        else:
            field = existing.get(field_id)
            used.append(Used(field.id, field.type) if field is not None else GONE)
    return goal(import_.spec, import_.list_id, used, only_stops=import_.report.only_stops)


class Staged(NamedTuple):
    """A piece of the stage.

    Args:
        place: the place of its first row.
        phones: E.164 digits, ascending, each once, at least one.
        values: for each column that fills a field, the values of the rows in stored form; `None` keeps the
            old value.
        masks: the channels on which the file stops each phone; `None` when the file does not say.
    """

    place: int
    phones: Ids
    values: Sequence[Sequence[str | None]]
    masks: Ids | None = None


class MergePlan(NamedTuple):
    """What happens to a piece of the stage.

    Args:
        masks: the channels on which each phone of the piece is stopped already.
        stops: the channels on which each phone of the piece is stopped; `None` for nothing.
        refused: the places of contacts that are already in as many lists as allowed.
        new: the places of phones that become contacts.
        joining: the ids of existing contacts that join the list.
        joining_masks: the channels on which these are stopped after the merge.
        changed: existing contacts with new values: id, field and value.
        counted: the numbers for the report.
    """

    masks: Ids
    stops: Ids | None
    counted: Report
    refused: Ids = _NONE
    new: Ids = _NONE
    joining: Ids = _NONE
    joining_masks: Ids = _NONE
    changed: Sequence[tuple[int, int, str]] = ()


class _Contact(msgspec.Struct, frozen=True):
    place: int
    id: int
    stop_mask: int


def plan(tx: Transaction, account_id: int, goal: Goal, staged: Staged) -> MergePlan:
    """What would happen to a piece of the stage now. Changes nothing."""
    masks = stops.masks(tx, account_id, staged.phones)
    counted = Report(stopped=int(np.count_nonzero(masks)))
    for channel, bit in CHANNELS.items():
        if on := int(np.count_nonzero(masks & bit)):
            counted.stopped_on[channel] = on
    to_stop = _stops(goal, staged)
    if to_stop is not None:
        counted.stops_added = int(np.count_nonzero(to_stop & ~masks))
    if staged.masks is not None:
        counted.stops_in_file = int(np.count_nonzero(staged.masks))
    if not goal.into_book:
        counted.only_stopped = len(staged.phones)
        return MergePlan(masks=masks, stops=to_stop, counted=counted)
    rows = _contacts(tx, account_id, staged.phones)
    places = np.fromiter((row.place for row in rows), np.int64, len(rows))
    ids = np.fromiter((row.id for row in rows), np.int64, len(rows))
    stop_masks = np.fromiter((row.stop_mask for row in rows), np.int64, len(rows))
    outside = np.ones(len(rows), bool)
    refused = _NONE
    if goal.list_id is not None and len(rows):
        outside = ~np.isin(ids, _members_of(tx, account_id, goal.list_id, ids))
    elif not goal.joins:
        outside = np.zeros(len(rows), bool)
    if outside.any():
        full = np.isin(ids, _full(tx, account_id, ids[outside])) & outside
        refused = places[full]
        places, ids, stop_masks, outside = places[~full], ids[~full], stop_masks[~full], outside[~full]
    changed = _changed(tx, account_id, goal, staged, places, ids)
    touched = set(ids[outside].tolist()) | {contact_id for contact_id, _, _ in changed}
    absent = np.ones(len(staged.phones), bool)
    absent[places] = False
    absent[refused] = False
    new = np.flatnonzero(absent)
    if not goal.creates:
        counted.not_in_book, new = len(new), _NONE
    counted.created = len(new)
    counted.updated = len(touched)
    counted.unchanged = len(ids) - len(touched)
    counted.joined = int(outside.sum()) + (len(new) if goal.joins else 0)
    if len(refused):
        counted.rejected["too_many_lists"] = len(refused)
    joining_masks = stop_masks[outside]
    if to_stop is not None:
        joining_masks = joining_masks | to_stop[places[outside]]
    return MergePlan(
        masks=masks,
        stops=to_stop,
        refused=refused,
        new=new,
        joining=ids[outside],
        joining_masks=joining_masks,
        changed=changed,
        counted=counted,
    )


def apply(tx: Transaction, account_id: int, goal: Goal, staged: Staged, planned: MergePlan) -> Chunk:
    """Do what was planned in the same transaction. The caller holds the lock of the account.

    Returns:
        What an undo needs to know.
    """
    masks = planned.masks
    if planned.stops is not None:
        masks = stops.add(tx, account_id, staged.phones, masks, planned.stops)
    new, first_id = planned.new, 0
    if len(new):
        phones = Integers(staged.phones[new])
        first_id = contacts.insert_all(tx, account_id, phones, stopped=bool(masks[new].any()))
    if goal.list_id is not None:
        joining = np.unique(np.concatenate([planned.joining_masks, masks[new]]), return_counts=True)
        created = np.arange(first_id, first_id + len(new), dtype=np.int64)
        everyone = np.sort(np.concatenate([planned.joining, created]))
        if len(everyone):
            members.add_many(tx, account_id, goal.list_id, Integers(everyone))
            of_mask = zip(*(column.tolist() for column in joining), strict=True)
            counts.joined(tx, account_id, {ListMask(goal.list_id, mask): n for mask, n in of_mask})
    if goal.fields and (len(new) or planned.changed):
        _store(tx, account_id, goal, staged, planned, first_id)
    return Chunk(
        staged.place,
        len(staged.phones),
        first_id,
        len(new),
        journal.pack(planned.joining),
        refused=journal.pack(planned.refused + staged.place),
    )


def step(tx: Transaction, account_id: int, import_: Import, goal: Goal, piece: Staged) -> Import:
    """Merge a piece of the stage into the book.

    Returns:
        The import after it.

    Raises:
        NotFound: its list was deleted.
    """
    accounts.lock(tx, account_id)
    if goal.list_id is not None:
        try:
            lists.get(tx, account_id, goal.list_id)
        except NotFound:
            raise NotFound("list", f"{goal.list_id} any more: it was deleted during the import") from None
    planned = plan(tx, account_id, goal, piece)
    chunk = apply(tx, account_id, goal, piece, planned)
    journal.write(tx, account_id, import_.id, chunk)
    return imports.change(
        tx,
        import_,
        reached=import_.reached + len(piece.phones),
        report=imports.added(import_.report, planned.counted),
    )


def _contacts(tx: Transaction, account_id: int, phones: Ids) -> list[_Contact]:
    """The contacts with the given phones, by place, counted from 0."""
    anyone = tx.one(
        int,
        """
        SELECT id FROM contact
        WHERE account_id = :account_id AND phone >= :low AND phone <= :high ORDER BY phone LIMIT 1
        """,
        account_id=account_id,
        low=int(phones[0]),
        high=int(phones[-1]),
    )
    if anyone is None:  # as in every chunk of a first import: spares ten million look-ups
        return []
    return tx.all(
        _Contact,
        f"""
        SELECT phones.place - 1 AS place, contact.id, contact.stop_mask
        FROM {tx.integers("phones")} CROSS JOIN contact
        WHERE contact.account_id = :account_id AND contact.phone = phones.value
        """,
        account_id=account_id,
        phones=Integers(phones),
    )


def _members_of(tx: Transaction, account_id: int, list_id: int, ids: Ids) -> list[int]:
    return tx.all(
        int,
        f"""
        SELECT membership.contact_id FROM {tx.integers("ids")} CROSS JOIN membership
        WHERE membership.account_id = :account_id AND membership.list_id = :list_id
          AND membership.contact_id = ids.value
        """,
        account_id=account_id,
        list_id=list_id,
        ids=Integers(ids),
    )


def _full(tx: Transaction, account_id: int, ids: Ids) -> list[int]:
    """Contacts that cannot join another list."""
    room = members.room_for(tx, account_id, ids.tolist())
    return [contact_id for contact_id, lists in room.items() if lists < 1]


def _changed(
    tx: Transaction, account_id: int, goal: Goal, staged: Staged, places: Ids, ids: Ids
) -> list[tuple[int, int, str]]:
    """Values that existing contacts do not have yet: contact, column and value."""
    if not len(ids) or not any(any(column) for column in staged.values):
        return []
    now = {
        (value.contact_id, value.field_id): value.value
        for value in fields.values_of(tx, account_id, ids.tolist())
    }
    changed = []
    for place, contact_id in zip(places.tolist(), ids.tolist(), strict=True):
        for number, field in enumerate(goal.fields):
            value = staged.values[number][place]
            if value and field is not GONE and (field.id is None or now.get((contact_id, field.id)) != value):
                changed.append((contact_id, number, value))
    return changed


def _stops(goal: Goal, staged: Staged) -> Ids | None:
    """The channels on which each phone of the piece is stopped; `None` when no phone is."""
    if not goal.stop and (staged.masks is None or not staged.masks.any()):
        return None
    of_all = np.full(len(staged.phones), mask_of(goal.stop), np.int64)
    return of_all if staged.masks is None else of_all | staged.masks


def _store(
    tx: Transaction, account_id: int, goal: Goal, staged: Staged, planned: MergePlan, first_id: int
) -> None:
    """Store the values of new contacts, and the changed values of existing ones."""
    kept = [number for number, field in enumerate(goal.fields) if field is not GONE]
    order = sorted(kept, key=lambda number: goal.fields[number].id or 0)
    contact_ids: list[int] = []
    numbers: list[int] = []
    values: list[str] = []
    for contact_id, place in enumerate(planned.new.tolist(), first_id):
        for number in order:
            if value := staged.values[number][place]:
                contact_ids.append(contact_id)
                numbers.append(number)
                values.append(value)
    for contact_id, number, value in planned.changed:
        contact_ids.append(contact_id)
        numbers.append(number)
        values.append(value)
    if not values:
        return
    keys: dict[tuple[int, str], str] = {}
    for number, value in zip(numbers, values, strict=True):
        if (number, value) not in keys:
            keys[number, value] = fields.canonical(goal.fields[number].type, value).key
    fields.store_rows(
        tx,
        account_id,
        Rows(
            contact_id=contact_ids,
            field_id=[goal.fields[number].id for number in numbers],
            value=values,
            search_key=[keys[number, value] for number, value in zip(numbers, values, strict=True)],
        ),
    )
