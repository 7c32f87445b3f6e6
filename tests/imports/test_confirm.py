"""A list is not emptied by accident: replacing more than half of it waits, and a file has as many rows as was said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from rollbook import fields, imports, lists, upserts
from rollbook.contacts import NewContact
from rollbook.errors import NotNow
from rollbook.imports.process import forget_old
from rollbook.lists import NewList
from tests.calls import PHONE, ended, imported, made_list
from tests.imports.desk import Desk, csv_of
from tests.servers import run


def _list_of(desk: Desk, count: int) -> int:
    made = desk.db.write(lists.create, desk.account_id, NewList("Everybody"))
    news = [NewContact(PHONE + number, (made.id,), {}) for number in range(count)]
    desk.db.write(upserts.upsert_many, desk.account_id, news)
    return int(made.id)


@pytest.mark.parametrize(
    ("count", "kept", "waits"),
    [
        (100, 1, False),
        (101, 1, True),
        (200, 99, True),
        (200, 100, False),
        (201, 100, True),
        (201, 101, False),
    ],
)
def test_replacing_more_than_half_of_a_list_waits(desk: Desk, count: int, kept: int, waits: bool) -> None:
    list_id = _list_of(desk, count)
    before = desk.book()
    import_ = desk.imported(csv_of(range(kept)), list=list_id, mode="replace")
    assert import_.state == ("confirm" if waits else "done")
    if waits:
        assert (import_.report.leaving, import_.report.members) == (count - kept, count)
        assert desk.book() == before
        assert desk.db.read(imports.unfinished) == []
        desk.db.write(imports.confirm, desk.account_id, import_.id)
        import_ = desk.work(import_)
    assert (import_.state, import_.report.removed) == ("done", count - kept)
    assert desk.db.read(lists.get, desk.account_id, list_id).items == kept
    assert desk.drift() == []
    if waits:
        assert desk.undone(import_).state == "undone"
        assert desk.db.read(lists.get, desk.account_id, list_id).items == count


def test_a_list_that_grew_meanwhile_has_to_be_confirmed_again(desk: Desk) -> None:
    list_id = _list_of(desk, 150)
    import_ = desk.imported(csv_of(range(3)), list=list_id, mode="replace")
    news = [NewContact(PHONE + 1_000 + number, (list_id,), {}) for number in range(20)]
    desk.db.write(upserts.upsert_many, desk.account_id, news)
    desk.db.write(imports.confirm, desk.account_id, import_.id)
    import_ = desk.work(import_)
    assert (import_.state, import_.report.leaving, import_.report.members) == ("confirm", 167, 170)
    assert desk.db.read(lists.get, desk.account_id, list_id).items == 170
    desk.db.write(imports.confirm, desk.account_id, import_.id)
    import_ = desk.work(import_)
    assert (import_.state, import_.report.removed, import_.report.rejected) == ("done", 167, {})
    assert desk.drift() == []


def test_what_needs_no_confirmation(desk: Desk) -> None:
    list_id = _list_of(desk, 150)
    assert desk.imported(csv_of(range(3)), list=list_id, mode="replace", dry_run=True).report.removed == 147
    assert desk.imported(csv_of(range(3)), list=list_id, mode="add").state == "done"
    assert desk.imported(csv_of(range(3)), list="A new one", mode="replace").state == "done"
    assert desk.imported(csv_of(range(3)), list=list_id, mode="replace", confirm=True).report.removed == 147


def test_an_import_that_waits_can_be_cancelled_but_not_undone(desk: Desk) -> None:
    list_id = _list_of(desk, 150)
    before = desk.book()
    import_ = desk.imported(csv_of(range(3)), list=list_id, mode="replace")
    with pytest.raises(NotNow, match="it waits to be confirmed"):
        desk.db.write(imports.request_undo, desk.account_id, import_.id)
    assert desk.db.write(imports.cancel, desk.account_id, import_.id).state == "cancelled"
    with pytest.raises(NotNow, match="does not wait for a confirmation: it is cancelled"):
        desk.db.write(imports.confirm, desk.account_id, import_.id)
    assert desk.book() == before


def test_an_import_that_waits_has_made_no_fields(desk: Desk) -> None:
    list_id = _list_of(desk, 150)
    text = csv_of(range(3), head="phone,Town", row=lambda number: f"+{PHONE + number},Kyiv")
    import_ = desk.imported(text, list=list_id, mode="replace", create_fields=True)
    assert (import_.state, import_.report.fields_created) == ("confirm", [])
    assert desk.db.read(fields.all, desk.account_id) == []
    confirmed = desk.db.write(imports.confirm, desk.account_id, import_.id)
    assert confirmed.report.fields_created == ["Town"]
    import_ = desk.work(import_)
    assert (import_.state, import_.report.updated, import_.report.removed) == ("done", 3, 147)
    [field] = desk.db.read(fields.all, desk.account_id)
    assert import_.report.field_ids == [field.id]


def test_an_import_that_is_never_confirmed_is_cancelled_in_the_end(desk: Desk) -> None:
    import_ = desk.imported(csv_of(range(3)), list=_list_of(desk, 150), mode="replace")
    forget_old(desk.db, desk.spool, keep_days=1)
    assert desk.db.read(imports.get, desk.account_id, import_.id).state == "confirm"
    old = int((datetime.now(UTC) - timedelta(days=2)).timestamp())
    desk.db.write(
        lambda tx, account_id: tx.run(
            "UPDATE import_job SET phase_started_at = :old WHERE account_id = :account_id",
            old=old,
            account_id=account_id,
        ),
        desk.account_id,
    )
    forget_old(desk.db, desk.spool, keep_days=1)
    assert desk.db.read(imports.get, desk.account_id, import_.id).state == "cancelled"


@pytest.mark.parametrize("rows", [0, 2, 4])
def test_a_file_with_another_number_of_rows_is_not_imported(desk: Desk, rows: int) -> None:
    before = desk.book()
    import_ = desk.imported("phone\n" + f"+{PHONE}\nnot a phone\n+{PHONE}\n", list="Customers", rows=rows)
    assert (import_.state, desk.book()) == ("failed", before)
    assert "has 3 rows, not" in str(import_.error)


def test_rejected_rows_count_too(desk: Desk) -> None:
    assert desk.imported("phone\n" + f"+{PHONE}\nnot a phone\n+{PHONE}\n", rows=3).state == "done"


def test_over_http(api: httpx.Client) -> None:
    list_id = made_list(api, "Everybody")["id"]
    phones = [PHONE + number for number in range(150)]
    assert api.post(f"/api/groups/{list_id}/contacts", json={"phones": phones}).status_code == 200
    import_ = imported(api, csv_of(range(3)), list_id=list_id, mode="replace")
    while import_["state"] in ("waiting", "reading"):
        import_ = api.get(f"/api/imports/{import_['id']}").json()["data"]
    assert (import_["state"], import_["counts"]["leaving"], import_["counts"]["removed"]) == (
        "confirm",
        147,
        0,
    )
    assert api.get(f"/api/groups/{list_id}").json()["data"]["items"] == 150
    assert api.post(f"/api/imports/{import_['id']}/undo").status_code == 409
    assert api.post(f"/api/imports/{import_['id']}/confirm").status_code == 202
    assert ended(api, import_["id"])["counts"]["removed"] == 147
    assert api.post(f"/api/imports/{import_['id']}/confirm").status_code == 409
    assert api.post("/api/imports/999999/confirm").json()["message"] == "Import is not found"
    assert api.post(f"/api/groups/{list_id}/contacts", json={"phones": phones}).status_code == 200
    import_ = imported(api, csv_of(range(4)), list_id=list_id, mode="replace", confirm="true")
    assert ended(api, import_["id"])["counts"]["removed"] == 146
    failed = ended(api, imported(api, csv_of(range(4)), list_id=list_id, rows=5)["id"])
    assert failed["state"] == "failed"
    assert "as rows says" in failed["error"]


def test_on_the_command_line(desk: Desk, url: str, tmp_path: Path) -> None:
    list_id = _list_of(desk, 150)
    path = desk.file(csv_of(range(3)))
    place = ("--database-url", url, "--spool-dir", str(tmp_path / "spool"))
    command = ("import", str(path), "--list", f"#{list_id}", "--mode", "replace", "--phone-check", "possible")
    done = run(*command, *place)
    assert done.returncode == 1
    assert "would take 147 of 150 members out of the list" in done.stderr
    assert "rollbook imports confirm 1" in done.stderr
    assert desk.db.read(lists.get, desk.account_id, list_id).items == 150
    resumed = run("imports", "resume", "1", *place)
    assert (resumed.returncode, "imports confirm 1" in resumed.stderr) == (1, True)
    confirmed = run("imports", "confirm", "1", "--json", *place)
    assert confirmed.returncode == 0
    assert json.loads(confirmed.stdout)["report"]["removed"] == 147
    again = [NewContact(PHONE + number, (list_id,), {}) for number in range(150)]
    desk.db.write(upserts.upsert_many, desk.account_id, again)
    assert run(*command, "--yes", *place).returncode == 0
    assert desk.db.read(lists.get, desk.account_id, list_id).items == 3
    wrong = run("import", str(path), "--rows", "9", *place)
    assert (wrong.returncode, "as --rows says" in wrong.stderr) == (1, True)
