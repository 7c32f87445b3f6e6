"""A piece of phones goes onto the stop list as the same phones would one after another."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from rollbook import contacts, lists, stop_list
from rollbook.contacts import NewContact
from rollbook.db import Transaction
from rollbook.imports import stops
from rollbook.lists import NewList
from rollbook.phones import changes
from rollbook.stop_list import Wanted
from tests.imports.desk import Desk

OLD, NEW = 551181234500, 5511981234500
"""A mobile number of Brazil in both forms; the last two digits are free."""

PHONES = [NEW + number for number in range(40)] + [OLD + number for number in range(0, 40, 3)]


@pytest.mark.parametrize("range_read_max", [0, 3, 5_000])
def test_a_piece_is_stopped_as_its_phones_would_be_one_by_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, range_read_max: int
) -> None:
    monkeypatch.setattr(stops, "RANGE_READ_MAX", range_read_max)
    drawn = random.Random(range_read_max)
    list_ids = [desk.db.write(lists.create, desk.account_id, NewList(f"List {n}")).id for n in range(2)]
    for phone in drawn.sample(PHONES, 30):
        joined = tuple(drawn.sample(list_ids, drawn.randrange(3)))
        desk.db.write(contacts.create, desk.account_id, NewContact(phone, list_ids=joined))
    before = [Wanted(phone, drawn.randrange(1, 16)) for phone in drawn.sample(PHONES, 20)]
    desk.db.write(stop_list.add_each, desk.account_id, before)
    for size in (1, 7, 25):
        wanted = [Wanted(phone, drawn.randrange(16)) for phone in sorted(drawn.sample(PHONES, size))]
        expected = _expected(desk, wanted)
        after = desk.db.write(_add, desk.account_id, wanted)
        book = desk.book()
        assert book == expected
        assert after == [book["stops"].get(each.phone, 0) for each in wanted]
        assert not desk.drift()


def _expected(desk: Desk, wanted: Sequence[Wanted]) -> dict[str, Any]:
    """The book, as it has to be afterwards."""
    book = desk.book()
    for each in wanted:
        for phone in (each.phone, each.phone - NEW + OLD):
            if each.mask and (phone == each.phone or phone in book["contacts"]):
                book["stops"][phone] = book["stops"].get(phone, 0) | each.mask
    book["contacts"] = {phone: book["stops"].get(phone, 0) for phone in book["contacts"]}
    return book


def _add(tx: Transaction, account_id: int, wanted: Sequence[Wanted]) -> list[int]:
    phones = np.array([each.phone for each in wanted], np.int64)
    added = np.array([each.mask for each in wanted], np.int64)
    after: list[int] = stops.add(tx, account_id, phones, stops.masks(tx, account_id, phones), added).tolist()
    return after


def test_old_forms_of_a_column_are_those_of_each_number() -> None:
    ends = [(each.first, each.last) for each in changes.new_ranges()]
    phones = sorted(
        {first + n for first, _ in ends for n in (-1, 0, 1)}
        | {last + n for _, last in ends for n in (-1, 0, 1)}
        | {(first + last) // 2 for first, last in ends}
    )
    expected = sorted({old for phone in phones for old in changes.old_forms(phone)})
    assert len(expected) > len(phones) / 3
    assert stops.old_forms(np.array(phones, np.int64)).tolist() == expected
    assert stops.old_forms(np.zeros(0, np.int64)).tolist() == []
