"""What an import does, mode by mode."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from rollbook import contacts, exports, fields, imports, lists, members, stop_list
from rollbook.contacts import NewContact
from rollbook.errors import Invalid, NotFound
from rollbook.exports import Export
from rollbook.fields import NewField
from rollbook.imports import worker
from rollbook.imports.spec import ImportSpec
from rollbook.lists import NewList
from rollbook.members import LISTS_MAX
from tests.calls import PHONE
from tests.imports.desk import Desk, csv_of, phone


def numbers(report: imports.Report) -> dict[str, Any]:
    """What a report counts, without what is 0."""
    names = [
        "duplicates",
        "created",
        "updated",
        "unchanged",
        "not_in_book",
        "only_stopped",
        "joined",
        "removed",
        "stopped",
        "stops_added",
    ]
    found = {name: getattr(report, name) for name in names if getattr(report, name)}
    return found | ({"rejected": report.rejected} if report.rejected else {})


def test_a_file_makes_contacts_and_members(desk: Desk) -> None:
    import_ = desk.done(csv_of(range(1, 6)), list="Customers")
    assert numbers(import_.report) == {"created": 5, "joined": 5}
    assert import_.report.list_created
    assert desk.book()["members"] == [("Customers", PHONE + n) for n in range(1, 6)]
    assert desk.counts()["Customers"].items == 5
    assert not desk.drift()


def test_a_list_that_is_there_is_used(desk: Desk) -> None:
    made = desk.db.write(lists.create, desk.account_id, NewList("Customers"))
    import_ = desk.done(csv_of(range(1, 3)), list="Customers")
    assert (import_.list_id, import_.report.list_created) == (made.id, False)
    assert desk.done(csv_of(range(3, 5)), list=made.id).list_id == made.id
    assert desk.counts()["Customers"].items == 4


def test_without_a_list_contacts_only_come_into_the_book(desk: Desk) -> None:
    assert numbers(desk.done(csv_of(range(1, 4))).report) == {"created": 3}
    assert desk.counts()[""].contacts == 3


def test_what_is_there_is_unchanged_or_updated(desk: Desk) -> None:
    desk.done(csv_of(range(1, 4)), list="Customers")
    desk.done(csv_of(range(4, 6)))
    import_ = desk.done(csv_of(range(1, 7)), list="Customers")
    assert numbers(import_.report) == {"created": 1, "updated": 2, "unchanged": 3, "joined": 3}
    assert not desk.drift()


def test_the_last_of_several_rows_with_a_phone_counts(desk: Desk) -> None:
    text = f"phone,City\n{phone(1)},Kyiv\n{phone(2)},Rome\n00{PHONE + 1},Oslo\n"
    import_ = desk.done(text, create_fields=True, region="UA")
    assert numbers(import_.report) == {"duplicates": 1, "created": 2}
    assert [(name, value) for name, _, value, _ in desk.book()["values"]] == [
        ("City", "Oslo"),
        ("City", "Rome"),
    ]


def test_update_leaves_out_whoever_is_not_in_the_book(desk: Desk) -> None:
    desk.done(csv_of(range(1, 3)))
    import_ = desk.done(csv_of(range(2, 5)), list="Customers", mode="update")
    assert numbers(import_.report) == {"updated": 1, "joined": 1, "not_in_book": 2}
    assert desk.counts()[""].contacts == 2


def test_replace_takes_out_whoever_the_file_does_not_name(desk: Desk) -> None:
    desk.done(csv_of(range(1, 6)), list="Customers")
    desk.done(csv_of(range(1, 6)), list="Others")
    import_ = desk.done(csv_of(range(4, 8)), list="Customers", mode="replace")
    assert numbers(import_.report) == {"created": 2, "unchanged": 2, "joined": 2, "removed": 3}
    members_now = [number for name, number in desk.book()["members"] if name == "Customers"]
    assert members_now == [PHONE + n for n in range(4, 8)]
    assert desk.counts()["Others"].items == 5
    assert desk.counts()[""].contacts == 7
    assert not desk.drift()


def test_replace_by_a_file_without_a_good_phone_empties_nothing(desk: Desk) -> None:
    desk.done(csv_of(range(1, 4)), list="Customers")
    import_ = desk.imported("phone\nnonsense\n", list="Customers", mode="replace")
    assert import_.state == "failed"
    assert "its list would be emptied" in str(import_.error)
    assert desk.counts()["Customers"].items == 3


def test_every_rejected_row_is_named_with_its_line(desk: Desk) -> None:
    text = f'name,phone\nAnn,{phone(1)}\n"B,\nb",abc\nCid,3.80E+11\nDan,12\nEve,,too,many\n'
    import_ = desk.done(text, list="Customers", region="UA")
    rows = list(csv.DictReader(io.StringIO(desk.rejects(import_))))
    assert [(row["rollbook:line"], row["name"], row["phone"]) for row in rows if not row["rollbook:row"]] == [
        ("3", "B,\nb", "abc"),
        ("5", "Cid", "3.80E+11"),
        ("6", "Dan", "12"),
    ]
    assert [
        (row["rollbook:line"], row["rollbook:reason"], row["rollbook:row"])
        for row in rows
        if row["rollbook:row"]
    ] == [("7", "too_many_cells", "Eve,,too,many")]
    assert all(row["rollbook:reason"] and row["rollbook:message"] for row in rows)
    assert import_.report.rows_rejected == 4
    assert import_.rows_read == 5


def test_columns_fill_the_fields_of_their_names(desk: Desk) -> None:
    desk.db.write(fields.create, desk.account_id, NewField("City", "text"))
    desk.db.write(fields.create, desk.account_id, NewField("Born", "date"))
    desk.db.write(fields.create, desk.account_id, NewField("Points", "number"))
    text = f"Mobile phone;city;BORN;points;Notes\n{phone(1)};Kyiv;1990-05-01;007.50;x\n{phone(2)};;;;\n"
    import_ = desk.done(text)
    assert import_.report.columns == {
        "Mobile phone": "phone",
        "city": "City",
        "BORN": "Born",
        "points": "Points",
        "Notes": "",
    }
    kept = sorted((name, value) for name, _, value, _ in desk.book()["values"])
    assert kept == [("Born", "1990-05-01"), ("City", "Kyiv"), ("Points", "7.5")]


def test_columns_mean_what_was_said(desk: Desk) -> None:
    desk.db.write(fields.create, desk.account_id, NewField("City", "text"))
    text = f"phone,a,b\n123,{phone(1)},Kyiv\n"
    import_ = desk.done(text, columns={"phone": "", "a": "phone", "b": "City"})
    assert numbers(import_.report) == {"created": 1}
    assert [row[:3] for row in desk.book()["values"]] == [("City", PHONE + 1, "Kyiv")]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"nowhere": "phone"}, "no column 'nowhere'"),
        ({"b": "Height"}, "no such field"),
        ({"b": "City", "c": "City"}, "Several columns are for the field 'City'"),
    ],
)
def test_columns_that_cannot_mean_that(desk: Desk, columns: dict[str, str], message: str) -> None:
    desk.db.write(fields.create, desk.account_id, NewField("City", "text"))
    import_ = desk.imported(f"phone,b,c\n{phone(1)},x,y\n", columns=columns)
    assert import_.state == "failed"
    assert message in str(import_.error)
    assert not desk.book()["contacts"]


def test_a_value_that_its_field_cannot_have_rejects_the_row(desk: Desk) -> None:
    desk.db.write(fields.create, desk.account_id, NewField("Born", "date"))
    import_ = desk.done(f"phone,Born\n{phone(1)},yesterday\n{phone(2)},2001-02-03\n")
    assert numbers(import_.report) == {"created": 1, "rejected": {"bad_value": 1}}
    assert "The Born " in desk.rejects(import_)


def test_values_that_are_the_same_change_nothing_and_empty_ones_keep_what_is(desk: Desk) -> None:
    text = f"phone,City\n{phone(1)},Kyiv\n{phone(2)},Rome\n{phone(3)},Oslo\n"
    desk.done(text, create_fields=True)
    import_ = desk.done(f"phone,City\n{phone(1)},Kyiv\n{phone(2)},Bonn\n{phone(3)},\n")
    assert numbers(import_.report) == {"updated": 1, "unchanged": 2}
    assert [row[2] for row in desk.book()["values"]] == ["Kyiv", "Bonn", "Oslo"]


def test_who_is_in_too_many_lists_is_rejected_and_named(desk: Desk) -> None:
    made = [desk.db.write(lists.create, desk.account_id, NewList(f"list {n}")).id for n in range(LISTS_MAX)]
    [full] = desk.db.write(contacts.create_many, desk.account_id, [NewContact(PHONE + 1)])
    assert isinstance(full, contacts.Contact)
    desk.db.write(members.attach, desk.account_id, contact_ids=[full.id], list_ids=made)
    import_ = desk.done(csv_of([5, 1, 2]), list="Customers")
    assert numbers(import_.report) == {"created": 2, "joined": 2, "rejected": {"too_many_lists": 1}}
    [row] = csv.DictReader(io.StringIO(desk.rejects(import_)))
    assert (row["rollbook:line"], row["rollbook:row"]) == ("3", "")
    assert row["phone"] == str(PHONE + 1)
    assert not desk.drift()


def test_a_file_of_stops_makes_no_contacts(desk: Desk) -> None:
    desk.db.write(stop_list.add, desk.account_id, phones=[PHONE + 2], channels=["sms"])
    import_ = desk.done(csv_of(range(1, 5)), stop=("sms", "viber"))
    assert numbers(import_.report) == {"only_stopped": 4, "stopped": 1, "stops_added": 4}
    assert desk.book()["stops"] == {PHONE + n: 3 for n in range(1, 5)}
    assert desk.counts()[""].contacts == 0
    assert not desk.drift()


def test_stops_with_a_list_are_counted_in_it(desk: Desk) -> None:
    desk.done(csv_of(range(1, 4)), list="Others")
    import_ = desk.done(csv_of(range(2, 6)), list="Customers", stop=("viber",))
    assert numbers(import_.report) == {"created": 2, "updated": 2, "joined": 4, "stops_added": 4}
    counts = desk.counts()
    assert (counts["Customers"].stop_list_count, counts["Others"].stop_list_count) == (4, 2)
    assert not desk.drift()


def test_only_valid_phones_go_in_unless_told_otherwise(desk: Desk) -> None:
    text = f"phone\n{phone(1)}\n+12025550123\n"
    import_ = desk.done(text, phone_check="valid")
    assert numbers(import_.report) == {"created": 1, "rejected": {"not_assigned": 1}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"mode": "replace"}, "needs a list"),
        ({"mode": "merge"}, "add, update or replace"),
        ({"stop": ("fax",)}, "The stop must be any of sms, viber, rcs, whatsapp, not 'fax'."),
        ({"region": "XX"}, "two letters such as UA"),
        ({"list": "ab"}, "list name"),
    ],
)
def test_a_spec_that_cannot_be_is_refused_and_nothing_is_kept(
    desk: Desk, spec: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        desk.ask(csv_of(range(1, 2)), **spec)
    assert desk.db.read(imports.recent, desk.account_id) == []


def test_an_unknown_list_is_refused(desk: Desk) -> None:
    with pytest.raises(NotFound):
        desk.ask(csv_of(range(1, 2)), list=999)


def test_a_list_that_is_deleted_meanwhile_ends_the_import(desk: Desk) -> None:
    made = desk.db.write(lists.create, desk.account_id, NewList("Customers"))
    import_ = desk.ask(csv_of(range(1, 4)), list="Customers")
    desk.db.write(lists.delete, desk.account_id, made.id)
    import_ = desk.work(import_)
    assert import_.state == "failed"
    assert "deleted during the import" in str(import_.error)
    assert not desk.drift()


def test_a_field_that_is_deleted_meanwhile_is_left_out(desk: Desk) -> None:
    city = desk.db.write(fields.create, desk.account_id, NewField("City", "text"))
    text = f"phone,City\n{phone(1)},Kyiv\n"
    import_ = desk.ask(text)

    def when_merging(import_: imports.Import) -> None:
        if import_.state == "merging" and import_.reached == 0:
            desk.db.write(fields.delete, desk.account_id, [city.id])

    assert desk.work(import_, when_merging).state == "done"
    assert list(desk.book()["contacts"]) == [PHONE + 1]


def test_imports_are_listed_newest_first_and_belong_to_their_account(desk: Desk, bob: Any) -> None:
    first = desk.done(csv_of(range(1, 2)))
    second = desk.done(csv_of(range(2, 3)))
    found = desk.db.read(imports.recent, desk.account_id)
    assert [import_.id for import_ in found] == [second.id, first.id]
    assert [import_.id for import_ in desk.db.read(imports.recent, desk.account_id, before=second.id)] == [
        first.id
    ]
    assert desk.db.read(imports.recent, bob.account_id) == []
    with pytest.raises(NotFound):
        desk.db.read(imports.get, bob.account_id, first.id)


def test_a_spec_says_nothing_of_what_is_usual() -> None:
    assert ImportSpec().into_book
    assert not ImportSpec(stop=("sms",)).into_book


def test_several_imports_at_once_do_not_get_in_each_others_way(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CHUNK_ROWS_FIRST", 200)
    monkeypatch.setattr(worker, "CHUNK_ROWS_MAX", 200)
    asked = [
        desk.ask(csv_of(range(first, first + 2_000)), list="Customers", create_fields=True)
        for first in (1, 1_001, 2_001)
    ]
    with ThreadPoolExecutor(3) as pool:
        ended = list(pool.map(desk.work, asked))
    assert [import_.state for import_ in ended] == ["done"] * 3
    assert sum(import_.report.created for import_ in ended) == 4_000
    assert sum(import_.report.unchanged for import_ in ended) == 2_000
    assert desk.counts()["Customers"].items == 4_000
    assert not desk.drift()
    for import_ in ended:
        desk.undone(import_)
    assert not desk.book()["contacts"]
    assert not desk.drift()


def test_two_who_work_on_the_same_import_do_it_once(desk: Desk) -> None:
    import_ = desk.ask(csv_of(range(1, 3_000)), list="Customers")
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(desk.work, [import_, import_]))
    assert [each.report.created for each in ended] == [2_999] * 2
    assert desk.counts()["Customers"].items == 2_999


def test_a_number_without_its_area_code_is_no_phone(desk: Desk) -> None:
    import_ = desk.done(f"phone\n555-0123\n{phone(1)}\n", region="US")
    assert numbers(import_.report) == {"created": 1, "rejected": {"local_only": 1}}


def test_what_is_safe_for_spreadsheets_comes_back_as_it_was(desk: Desk) -> None:
    texts = ["=1+1", "+380 00", "-1", "@x", "''=1", "O'Neill", "plain", "＝a"]
    desk.db.write(fields.create, desk.account_id, NewField("=Note", "text"))
    desk.db.write(fields.create, desk.account_id, NewField("Age", "number"))
    rows = [f'{phone(n)},"{text}",{-n}' for n, text in enumerate(texts, 1)]
    first = desk.done("\n".join(["phone,'=Note,Age", *rows, ""]))
    before = desk.book()
    columns = ("phone", "=Note", "Age")
    for format in ("csv", "xlsx"):
        out = io.BytesIO()
        exports.write(desk.db, desk.account_id, Export(format=format, columns=columns), out)
        if format == "csv":
            head, row, *_ = csv.reader(io.StringIO(out.getvalue().decode()))
            assert (head, row) == (["phone", "'=Note", "Age"], [phone(1)[1:], "'=1+1", "-1"])
        assert numbers(desk.done(out.getvalue(), f"book.{format}").report) == {"unchanged": len(texts)}
        desk.undone(first)
        assert desk.counts()[""].contacts == 0
        first = desk.done(out.getvalue(), f"book.{format}")
        assert numbers(first.report) == {"created": len(texts)}
        assert desk.book() == before


def test_rejects_are_safe_for_spreadsheets_and_mean_what_the_rows_did(desk: Desk) -> None:
    desk.db.write(fields.create, desk.account_id, NewField("=Note", "text"))
    import_ = desk.done(f'phone,=Note\n+12,=1+1\n"=cmd","\'-1"\n3,a,=b\n{phone(3)},"\'@c"\n')
    head, *rows = csv.reader(io.StringIO(desk.rejects(import_)))
    assert head[-3:] == ["phone", "'=Note", "rollbook:row"]
    assert [row[-3:] for row in rows] == [["'+12", "'=1+1", ""], ["'=cmd", "'-1", ""], ["3", "a", "3,a,=b"]]
    repaired = desk.rejects(import_).replace("'+12", phone(1)).replace("'=cmd", phone(2))
    desk.done(repaired)
    assert sorted(value for _, _, value, _ in desk.book()["values"]) == ["-1", "=1+1", "@c"]
