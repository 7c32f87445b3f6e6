"""Undo takes back what an import created, and leaves what somebody touched since."""

from __future__ import annotations

import os

import pytest

from rollbook import contacts, fields, imports, lists, members, stop_list
from rollbook.contacts import ContactChange
from rollbook.errors import NotNow
from rollbook.fields import NewField
from rollbook.imports import process, undo, worker
from rollbook.lists import NewList
from tests.calls import PHONE
from tests.imports.desk import Desk, csv_of, phone


def _id(desk: Desk, number: int) -> int:
    found = desk.db.read(
        lambda tx: tx.one(
            int,
            "SELECT id FROM contact WHERE account_id = :account_id AND phone = :phone",
            account_id=desk.account_id,
            phone=PHONE + number,
        )
    )
    assert found is not None
    return found


def test_undo_gives_back_the_former_counts(desk: Desk) -> None:
    desk.done(csv_of(range(1, 4)), list="Customers")
    desk.db.write(stop_list.add, desk.account_id, phones=[PHONE + 3, PHONE + 5], channels=["sms"])
    book, counts = desk.book(), desk.counts()
    import_ = desk.done(csv_of(range(2, 10)), list="Customers")
    undone = desk.undone(import_)
    assert undone.state == "undone"
    assert undone.report.undone == {"contacts_deleted": 6, "members_removed": 6, "contacts_left": 0}
    assert (desk.book(), desk.counts()) == (book, counts)


def test_undo_of_replace_gives_the_members_back(desk: Desk) -> None:
    desk.done(csv_of(range(1, 6)), list="Customers")
    book, counts = desk.book(), desk.counts()
    import_ = desk.done(csv_of(range(4, 9)), list="Customers", mode="replace")
    assert desk.undone(import_).report.undone["members_returned"] == 3
    assert (desk.book(), desk.counts()) == (book, counts)


def test_a_list_that_was_made_for_the_import_goes_if_it_is_empty(desk: Desk) -> None:
    import_ = desk.done(csv_of(range(1, 3)), list="Customers")
    assert desk.undone(import_).report.undone["lists_deleted"] == 1
    import_ = desk.done(csv_of(range(1, 3)), list="Customers")
    desk.done(csv_of(range(5, 6)), list="Customers")
    assert desk.undone(import_).report.undone["lists_left"] == 1
    assert desk.counts()["Customers"].items == 1


def test_what_somebody_touched_since_stays_and_is_counted(desk: Desk) -> None:
    city = desk.db.write(fields.create, desk.account_id, NewField("City", "text"))
    other = desk.db.write(lists.create, desk.account_id, NewList("Others"))
    text = "phone,City\n" + "".join(f"{phone(number)},Kyiv\n" for number in range(1, 8))
    import_ = desk.done(text, list="Customers")
    customers = desk.list_id()
    write, account_id = desk.db.write, desk.account_id
    write(contacts.update, account_id, _id(desk, 1), ContactChange(phone=PHONE + 90))
    write(contacts.update, account_id, _id(desk, 2), ContactChange(values={city.id: "Rome"}))
    write(contacts.update, account_id, _id(desk, 3), ContactChange(values={city.id: None}))
    write(members.attach, account_id, contact_ids=[_id(desk, 4)], list_ids=[other.id])
    write(members.detach, account_id, contact_ids=[_id(desk, 5)], list_ids=[customers])
    write(contacts.delete, account_id, _id(desk, 6))
    undone = desk.undone(import_)
    assert undone.report.undone == {
        "contacts_deleted": 1,
        "members_removed": 1,
        "contacts_left": 5,
        "lists_left": 1,
    }
    assert list(desk.book()["contacts"]) == [PHONE + n for n in (2, 3, 4, 5, 90)]
    assert not desk.drift()


def test_stops_stay_and_are_counted(desk: Desk) -> None:
    import_ = desk.done(csv_of(range(1, 4)), list="Customers", stop=("sms",))
    undone = desk.undone(import_)
    assert undone.report.undone["stops_left"] == 3
    assert len(desk.book()["stops"]) == 3
    assert not desk.book()["contacts"]


def test_undo_goes_on_in_pieces(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(undo, "CONTACTS_AT_ONCE", 2)
    monkeypatch.setattr(worker, "CHUNK_ROWS_FIRST", 5)
    monkeypatch.setattr(worker, "CHUNK_ROWS_MAX", 5)
    desk.done(csv_of(range(1, 8)), list="Others")
    book, counts = desk.book(), desk.counts()
    import_ = desk.done(csv_of(range(3, 20)), list="Customers")
    asked = desk.db.write(imports.request_undo, desk.account_id, import_.id)
    seen = []
    done = desk.work(asked, lambda import_: seen.append(len(desk.drift())))
    assert done.state == "undone"
    assert set(seen) == {0}
    assert len(seen) > 10
    assert (desk.book(), desk.counts()) == (book, counts)


def test_what_cannot_be_undone_is_refused(desk: Desk) -> None:
    dry = desk.done(csv_of(range(1, 3)), dry_run=True)
    assert not list(desk.spool.folder(dry.folder).glob("*.int64"))
    with pytest.raises(NotNow, match="dry run"):
        desk.undone(dry)
    waiting = desk.ask(csv_of(range(1, 3)))
    with pytest.raises(NotNow, match="it is waiting"):
        desk.undone(waiting)
    import_ = desk.undone(desk.work(waiting))
    with pytest.raises(NotNow, match="it is undone"):
        desk.undone(import_)


def test_an_import_that_is_too_old_cannot_be_undone(desk: Desk) -> None:
    import_ = desk.done(csv_of(range(1, 3)), list="Customers")
    process.forget_old(desk.db, desk.spool, keep_days=1)
    assert desk.spool.folder(import_.folder).exists()
    process.forget_old(desk.db, desk.spool, keep_days=-1)
    assert not desk.spool.folder(import_.folder).exists()
    with pytest.raises(NotNow, match="is not kept so long"):
        desk.undone(import_)
    assert desk.counts()["Customers"].items == 2


def test_files_that_belong_to_no_import_are_thrown_away(desk: Desk) -> None:
    import_ = desk.done(csv_of(range(1, 3)))
    orphan = desk.spool.folder("7-999")
    orphan.mkdir()
    path, file = desk.spool.incoming()
    file.close()
    process.forget_old(desk.db, desk.spool, keep_days=1)
    assert orphan.exists()
    assert path.exists()
    os.utime(orphan, (0, 0))
    os.utime(path, (0, 0))
    process.forget_old(desk.db, desk.spool, keep_days=1)
    assert not orphan.exists()
    assert not path.exists()
    assert desk.spool.folder(import_.folder).exists()


def test_without_its_stage_an_import_stays_as_it_is(desk: Desk) -> None:
    import_ = desk.done(csv_of(range(1, 3)), list="Customers")
    for path in desk.spool.folder(import_.folder).glob("*.int64"):
        path.unlink()
    kept = desk.undone(import_)
    assert kept.state == "done"
    assert "not in the spool any more" in str(kept.error)
    assert desk.counts()["Customers"].items == 2


def test_cancel_keeps_what_is_in_the_book_and_can_be_undone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CHUNK_ROWS_FIRST", 5)
    monkeypatch.setattr(worker, "CHUNK_ROWS_MAX", 5)
    import_ = desk.ask(csv_of(range(1, 50)), list="Customers")

    def cancel(import_: imports.Import) -> None:
        if import_.reached == 10:
            desk.db.write(imports.cancel, desk.account_id, import_.id)

    import_ = desk.work(import_, cancel)
    assert import_.state == "cancelled"
    assert 10 <= desk.counts()["Customers"].items < 49
    assert not desk.drift()
    with pytest.raises(NotNow, match="it is cancelled"):
        desk.db.write(imports.cancel, desk.account_id, import_.id)
    assert desk.undone(import_).state == "undone"
    assert not desk.book()["contacts"]


def test_an_import_that_waits_is_cancelled_at_once(desk: Desk) -> None:
    import_ = desk.ask(csv_of(range(1, 5)))
    assert desk.db.write(imports.cancel, desk.account_id, import_.id).state == "cancelled"
    assert desk.work(import_).state == "cancelled"
    assert not desk.book()["contacts"]
