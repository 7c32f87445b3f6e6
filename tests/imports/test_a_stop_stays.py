"""No import brings a stopped number back, and the report says how many there were."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rollbook import contacts, fields, lists, stop_list
from rollbook.channels import mask_of
from rollbook.fields import NewField
from tests.calls import PHONE
from tests.imports.desk import Desk, csv_of, phone

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
    import_ = desk.done(csv_of(range(1, 4)), list="Customers", mode=mode)
    assert import_.report.stopped == 1
    assert import_.report.stopped_on == dict.fromkeys(channels, 1)
    book = desk.book()
    assert book["stops"] == {PHONE + BEFORE: mask_of(channels)}
    assert book["contacts"].get(PHONE + BEFORE, mask_of(channels)) == mask_of(channels)
    inside = ("Customers", PHONE + BEFORE) in book["members"]
    assert desk.counts()["Customers"].sms_stopped == (inside and "sms" in channels)
    assert not desk.drift()


def test_a_bad_value_beside_an_opt_out_does_not_lose_the_opt_out(desk: Desk) -> None:
    desk.db.write(fields.create, desk.account_id, NewField("Birthday", "date"))
    rows = "phone,Birthday\n" + f"{phone(1)},1990-02-30\n{phone(2)},1990-02-03\n{phone(3)},soon\n"
    import_ = desk.done(rows, list="Customers", stop=("sms",))
    assert (import_.report.created, import_.report.rejected, import_.report.stops_added) == (3, {}, 3)
    assert any("were left out, 2 in all" in warning for warning in import_.report.warnings)
    assert set(desk.book()["stops"]) == {PHONE + 1, PHONE + 2, PHONE + 3}
    assert [value[:3] for value in desk.book()["values"]] == [("Birthday", PHONE + 2, "1990-02-03")]
    assert desk.drift() == []


def test_so_it_is_for_stops_that_an_export_carries(desk: Desk) -> None:
    desk.db.write(fields.create, desk.account_id, NewField("Birthday", "date"))
    head = "phone,id,created_at,stopped,Birthday\n"
    rows = f'{PHONE + 1},1,2026-01-02T03:04:05Z,"viber","soon"\n{PHONE + 2},2,2026-01-02T03:04:05Z,,"soon"\n'
    import_ = desk.done(head + rows, list="Customers")
    assert import_.report.rejected == {"bad_value": 1}
    assert set(desk.book()["stops"]) == {PHONE + 1}
    assert set(desk.book()["contacts"]) == {PHONE + 1}
