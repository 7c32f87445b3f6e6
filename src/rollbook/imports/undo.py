"""Undo: takes back what an import created, unless it was changed since.

A contact that the import created counts as changed when it now has another phone, other values than those
from the file, or other lists than the import's. Such a contact stays as it is. Stops always stay; so do
values that the import gave to existing contacts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from rollbook import accounts, contacts, fields, imports, lists, members
from rollbook.db import Transaction
from rollbook.errors import NotFound
from rollbook.imports import Import, Report, ascending, journal
from rollbook.imports.journal import Chunk
from rollbook.imports.stage import Stage
from rollbook.members import Membership

CONTACTS_AT_ONCE = 2_500
"""How many contacts one transaction takes back: deleting one costs several times what creating it did."""


class _Contact(msgspec.Struct, frozen=True):
    id: int
    phone: int


def step(tx: Transaction, account_id: int, import_: Import, staged: Stage) -> Import | None:
    """Take back a piece of the import, the newest first.

    Returns:
        The import after it; `None` when nothing is left.
    """
    accounts.lock(tx, account_id)
    chunk = journal.last(tx, account_id, import_.id)
    if chunk is None:
        return None
    has_list = import_.list_id is not None and _exists(tx, account_id, import_.list_id)
    done: Counter[str] = Counter()
    rest = chunk
    if chunk.removed:
        ids = journal.unpack(chunk.removed)
        now, later = ids[:CONTACTS_AT_ONCE].tolist(), ids[CONTACTS_AT_ONCE:]
        if has_list and import_.list_id is not None:
            done["members_returned"] = _return(tx, account_id, import_.list_id, now)
        rest = msgspec.structs.replace(chunk, removed=journal.pack(later))
    elif chunk.joined:
        ids = journal.unpack(chunk.joined)
        now, later = ids[:CONTACTS_AT_ONCE].tolist(), ids[CONTACTS_AT_ONCE:]
        if has_list and import_.list_id is not None:
            done["members_removed"] = _take_out(tx, account_id, import_.list_id, now)
        rest = msgspec.structs.replace(chunk, joined=journal.pack(later))
    elif chunk.contacts:
        size = min(chunk.contacts, CONTACTS_AT_ONCE)
        first = chunk.first_id + chunk.contacts - size
        done.update(_delete(tx, account_id, import_, staged, chunk, first, size, has_list=has_list))
        rest = msgspec.structs.replace(chunk, contacts=chunk.contacts - size)
    journal.rewrite(tx, account_id, import_.id, rest)
    report = imports.added(import_.report, Report(undone=dict(done)))
    return imports.change(tx, import_, report=report)


def finish(tx: Transaction, account_id: int, import_: Import, report: Report) -> Import:
    """Finish an undo: a list that was created for the import is deleted, if it is empty."""
    accounts.lock(tx, account_id)
    undone = dict(report.undone)
    if report.stops_added:
        undone["stops_left"] = report.stops_added
    if report.list_created and import_.list_id is not None and _exists(tx, account_id, import_.list_id):
        if lists.get(tx, account_id, import_.list_id).items == 0:
            lists.delete(tx, account_id, import_.list_id)
            undone["lists_deleted"] = 1
        else:
            undone["lists_left"] = 1
    if report.fields_created:
        undone["fields_left"] = len(report.fields_created)
    return imports.change(tx, import_, state="undone", report=msgspec.structs.replace(report, undone=undone))


def _exists(tx: Transaction, account_id: int, list_id: int) -> bool:
    try:
        lists.get(tx, account_id, list_id)
    except NotFound:
        return False
    return True


def _return(tx: Transaction, account_id: int, list_id: int, ids: Sequence[int]) -> int:
    """Put contacts back into the list that they were removed from, where that is still possible."""
    masks = {row.id: row.stop_mask for row in contacts.rows_of(tx, account_id, ids)}
    wanted = [Membership(list_id, contact_id) for contact_id in masks]
    existing = members.existing(tx, account_id, wanted)
    room = members.room_for(tx, account_id, list(masks))
    pairs = [pair for pair in wanted if pair not in existing and room[pair.contact_id] > 0]
    members.add(tx, account_id, pairs, masks)
    return len(pairs)


def _take_out(tx: Transaction, account_id: int, list_id: int, ids: Sequence[int]) -> int:
    """Remove contacts that joined the list, if they are still members."""
    pairs = members.existing(tx, account_id, [Membership(list_id, contact_id) for contact_id in ids])
    inside = {pair.contact_id for pair in pairs}
    masks = {
        row.id: row.stop_mask for row in contacts.rows_of(tx, account_id, ids) if row.id in inside
    }  # fmt: skip
    members.remove_many(tx, account_id, list_id, masks)
    return len(masks)


def _delete(
    tx: Transaction,
    account_id: int,
    import_: Import,
    staged: Stage,
    chunk: Chunk,
    first: int,
    size: int,
    *,
    has_list: bool,
) -> dict[str, int]:
    """Delete those of the contacts from id `first` on that were not changed since."""
    found = tx.all(
        _Contact,
        """
        SELECT id, phone FROM contact
        WHERE account_id = :account_id AND id >= :first AND id < :behind ORDER BY id
        """,
        account_id=account_id,
        first=first,
        behind=first + size,
    )
    if not found:
        return {}
    ids = [row.id for row in found]
    phones = np.array(staged.phones[chunk.place : chunk.place + chunk.rows_staged])
    now = np.fromiter((row.phone for row in found), np.int64, len(found))
    places, same_phone = ascending.places(phones, now)
    in_lists: dict[int, set[int]] = {}
    for pair in members.of_contacts(tx, account_id, ids):
        in_lists.setdefault(pair.contact_id, set()).add(pair.list_id)
    expected_lists = {import_.list_id} if has_list else set()
    in_fields: dict[int, dict[int, str]] = {}
    for value in fields.values_of(tx, account_id, ids):
        in_fields.setdefault(value.contact_id, {})[value.field_id] = value.value
    given = staged.values(chunk.place, chunk.rows_staged)
    existing = {field.id for field in fields.all(tx, account_id)}
    untouched = []
    for row, place, same in zip(found, places.tolist(), same_phone.tolist(), strict=True):
        gave = {
            field_id: value
            for field_id, column in zip(import_.report.field_ids, given, strict=True)
            if field_id in existing and (value := column[place])
        }
        if same and in_lists.get(row.id, set()) == expected_lists and in_fields.get(row.id, {}) == gave:
            untouched.append(row.id)
    removed = contacts.remove(tx, account_id, untouched)
    taken = {"contacts_deleted": removed, "contacts_left": len(found) - removed}
    if has_list:
        taken["members_removed"] = removed
    return taken
