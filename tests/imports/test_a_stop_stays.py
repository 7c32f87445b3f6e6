"""No import brings a stopped number back, and the report says how many there were."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollbook import contacts, lists, stop_list
from rollbook.channels import mask_of
from tests.calls import PHONE
from tests.imports.desk import Desk, csv_of

BEFORE = 2
"""The number of the phone that is stopped."""


def _nothing(desk: Desk) -> None:
    """It was never a contact."""


def _deleted(desk: Desk) -> None:
    desk.done(csv_of([BEFORE]), list="Former")
    _delete(desk)


def _erased_with_its_list(desk: Desk) -> None:
    desk.done(csv_of([BEFORE]), list="Former")
    desk.db.write(lists.delete, desk.account_id, desk.list_id("Former"))
    _delete(desk)


def _imported_before(desk: Desk) -> None:
    desk.done(csv_of([BEFORE]), list="Customers")


def _imported_and_undone(desk: Desk) -> None:
    desk.undone(desk.done(csv_of([BEFORE]), list="Former"))


def _delete(desk: Desk) -> None:
    found = desk.db.read(
        lambda tx: tx.all(
            int, "SELECT id FROM contact WHERE account_id = :account_id", account_id=desk.account_id
        )
    )
    for contact_id in found:
        desk.db.write(contacts.delete, desk.account_id, contact_id)


HISTORIES = [_nothing, _deleted, _erased_with_its_list, _imported_before, _imported_and_undone]


@pytest.mark.parametrize("stopped_first", [True, False], ids=["stopped first", "stopped last"])
@pytest.mark.parametrize("history", HISTORIES, ids=lambda history: history.__name__.strip("_"))
@pytest.mark.parametrize("mode", ["add", "update", "replace"])
@pytest.mark.parametrize("channels", [["sms"], ["viber", "rcs", "whatsapp"]], ids="+".join)
def test_a_stopped_number_stays_stopped_after_an_import(
    desk: Desk, history: Callable[[Desk], None], mode: str, channels: list[str], stopped_first: bool
) -> None:
    if stopped_first:
        desk.db.write(stop_list.add, desk.account_id, phones=[PHONE + BEFORE], channels=channels)
    history(desk)
    if not stopped_first:
        desk.db.write(stop_list.add, desk.account_id, phones=[PHONE + BEFORE], channels=channels)
    job = desk.done(csv_of(range(1, 4)), list="Customers", mode=mode)
    assert job.report.stopped == 1
    assert job.report.stopped_on == dict.fromkeys(channels, 1)
    book = desk.book()
    assert book["stops"] == {PHONE + BEFORE: mask_of(channels)}
    assert book["contacts"].get(PHONE + BEFORE, mask_of(channels)) == mask_of(channels)
    inside = ("Customers", PHONE + BEFORE) in book["members"]
    assert desk.counts()["Customers"].sms_stopped == (inside and "sms" in channels)
    assert not desk.drift()
