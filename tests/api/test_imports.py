"""Imports over HTTP: sent, watched, cancelled, undone, and what was rejected."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from rollbook.imports.spec import OPTIONS
from tests.calls import PHONE, counts, ended, imported, made_list, stopped
from tests.conftest import Live
from tests.imports.desk import csv_of
from tests.servers import Service


def test_a_file_is_imported_in_the_background(api: httpx.Client) -> None:
    made = imported(api, csv_of(range(1, 11)) + "nonsense\n", list="Customers", filename="customers.csv")
    assert (made["filename"], made["size_bytes"]) == ("customers.csv", len(csv_of(range(1, 11))) + 9)
    import_ = ended(api, made["id"])
    assert (import_["state"], import_["error"]) == ("done", None)
    assert {name: import_["counts"][name] for name in ("created", "joined", "rejected")} == {
        "created": 10,
        "joined": 10,
        "rejected": 1,
    }
    assert (import_["rows_read"], import_["rows_staged"], import_["rows_done"]) == (11, 10, 10)
    assert counts(api, import_["list_id"]) == (10, 0)
    assert api.get("/api/imports").json() == {"data": [import_], "next": None}
    rejects = api.get(f"/api/imports/{import_['id']}/rejects")
    assert rejects.headers["content-type"] == "text/csv; charset=utf-8"
    assert f"rejects-{import_['id']}.csv" in rejects.headers["content-disposition"]
    rows = list(csv.reader(io.StringIO(rejects.text)))
    assert rows[0] == ["rollbook:line", "rollbook:reason", "rollbook:message", "phone", "rollbook:row"]
    assert rows[1][:2] + rows[1][3:] == ["12", "not_a_number", "nonsense", ""]


def test_every_option_is_checked_before_anything_is_kept(api: httpx.Client) -> None:
    names = [option.name for option in OPTIONS if "http" in option.edges]
    answer = api.post("/api/imports", params=dict.fromkeys(names, ""), content=b"phone\n")
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == set(names)
    assert api.get("/api/imports").json()["data"] == []


def test_a_form_says_all_that_the_query_can(api: httpx.Client) -> None:
    stopped(api, 1, types=("viber",))
    text = f"Tel,Town\n{PHONE + 1},Kyiv\n"
    answer = api.post(
        "/api/imports",
        files={"file": ("people.csv.gz", gzip.compress(text.encode()))},
        data={
            "list": "People",
            "map": ["Town=City"],
            "create_fields": "true",
            "stop": "rcs",
            "phone_check": "possible",
        },
    )
    assert answer.status_code == 202, answer.text
    import_ = ended(api, answer.json()["data"]["id"])
    assert (import_["filename"], import_["state"]) == ("people.csv.gz", "done")
    assert import_["columns"] == {"Tel": "phone", "Town": "City"}
    assert import_["fields_created"] == ["City"]
    assert import_["file"]["compression"] == "gzip"
    assert (import_["counts"]["stopped"], import_["counts"]["stops_added"]) == (1, 1)
    [row] = api.get("/api/stoplist").json()["data"]
    assert (row["viber_stoplist"], row["rcs_stoplist"]) == (True, True)


def test_several_columns_may_be_the_phone_and_the_report_says_how_a_file_was_read(api: httpx.Client) -> None:
    text = f"Our people\nName,Mobile,Home phone,Opted out\nAnn,,{PHONE + 1},no\n,,,\nBob,{PHONE + 2},{PHONE + 3},no\n"
    said = {"map": ["Mobile=phone", "Home phone=phone"], "phone_check": "possible", "skip_hidden": "true"}
    import_ = ended(api, imported(api, text, **said)["id"])
    assert (import_["header"], import_["columns"]["Home phone"]) == ("line 2", "phone")
    named = ("created", "rejected", "blank", "hidden", "further_phones")
    assert [import_["counts"][name] for name in named] == [2, 0, 1, 0, 0]
    assert len(import_["warnings"]) == 1
    assert "'Opted out'" in import_["warnings"][0]
    assert "import them with stop." in import_["warnings"][0]
    said = {"all_phones": "true", "phone_check": "possible", "skip_rows": "1"}
    import_ = ended(api, imported(api, text, **said)["id"])
    assert [import_["counts"][name] for name in named] == [1, 0, 1, 0, 1]


def test_events_tell_how_far_it_is_until_it_ends(api: httpx.Client) -> None:
    made = imported(api, csv_of(range(1, 60_000)), list="Customers")
    states = [state for state, _ in events(api, made["id"])]
    assert states[-1] == "done"
    assert states == sorted(states, key=["waiting", "reading", "merging", "done"].index)
    [(state, import_)] = events(api, made["id"])
    assert (state, import_["counts"]["created"]) == ("done", 59_999)


def test_the_outcome_stands_beside_the_state_everywhere(api: httpx.Client) -> None:
    good, bad = f"phone\n{PHONE + 1}\n", "phone\n12\n"
    files = {good: "ok", f"{good}12\n": "some_rejected", bad: "all_rejected"}
    found = {}
    for text, outcome in files.items():
        import_ = imported(api, text, stop="sms")
        assert import_["outcome"] is None
        states = list(events(api, import_["id"]))
        assert [told["outcome"] for state, told in states if state != "done"] == [None] * (len(states) - 1)
        assert states[-1][1]["outcome"] == outcome
        assert ended(api, import_["id"])["outcome"] == outcome
        found[import_["id"]] = outcome
    failed = ended(api, imported(api, "name\nAnn\n")["id"])
    assert (failed["state"], failed["outcome"]) == ("failed", None)
    listed = {import_["id"]: import_["outcome"] for import_ in api.get("/api/imports").json()["data"]}
    assert listed == found | {failed["id"]: None}
    assert api.post(f"/api/imports/{min(found)}/undo").json()["data"]["outcome"] is None


def events(api: httpx.Client, import_id: int) -> Iterator[tuple[str, Any]]:
    """The name and the data of each event."""
    with api.stream("GET", f"/api/imports/{import_id}/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        name = ""
        for line in answer.iter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield name, json.loads(line.removeprefix("data: "))


def test_undo_and_cancel(api: httpx.Client) -> None:
    kept = made_list(api, "Customers")
    import_ = ended(api, imported(api, csv_of(range(1, 11)), list_id=kept["id"])["id"])
    refused = api.post(f"/api/imports/{import_['id']}/cancel")
    assert (refused.status_code, refused.json()["message"]) == (
        409,
        f"Import {import_['id']} cannot be cancelled: it is done.",
    )
    assert api.post(f"/api/imports/{import_['id']}/undo").status_code == 202
    assert ended(api, import_["id"])["counts"]["undone"]["contacts_deleted"] == 10
    assert counts(api, kept["id"]) == (0, 0)
    big = imported(api, csv_of(range(1, 200_000)), list="Customers")
    cancelled = api.post(f"/api/imports/{big['id']}/cancel")
    assert cancelled.status_code == 200
    assert ended(api, big["id"])["state"] == "cancelled"


def test_a_key_makes_a_repeated_upload_one_import(api: httpx.Client) -> None:
    text = csv_of(range(1, 5)).encode()
    headers = {"Idempotency-Key": "upload-1"}
    first = api.post("/api/imports", content=text, headers=headers)
    again = api.post("/api/imports", content=text, headers=headers)
    assert first.json()["data"]["id"] == again.json()["data"]["id"]
    assert again.headers["idempotent-replayed"] == "true"
    assert api.post("/api/imports", content=text + b"\n", headers=headers).status_code == 422
    assert len(api.get("/api/imports").json()["data"]) == 1


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        ({"lists": "x"}, "lists", "There is no option lists"),
        ({"mode": "merge"}, "mode", "add, update or replace"),
        ({"mode": "replace"}, "mode", "needs a list"),
        ({"mode": ""}, "mode", "is empty: it takes add, update or replace"),
        ({"region": "Ukraine"}, "region", "two letters such as UA"),
        ({"region": "XX"}, "region", "two letters such as UA"),
        ({"list": "x"}, "list", "at least 3"),
        ({"list_id": "x"}, "list_id", "must be the id"),
        ({"list": "Customers", "list_id": "1"}, "list", "not both"),
        ({"map": "phone"}, "map", "must be COLUMN=FIELD, not 'phone'"),
        ({"map": "=phone"}, "map", "COLUMN=FIELD"),
        ({"map": ["A=phone", "A=City"]}, "map", "two things of the column 'A'"),
        ({"map": ["A=phone", "B="], "map[]": "C"}, "map", "COLUMN=FIELD"),
        ({"create_fields": ""}, "create_fields", "is empty: it takes true or false"),
        ({"dry_run": "maybe"}, "dry_run", "true or false"),
        ({"stop": "sms,fax"}, "stop", "must be any of sms, viber, rcs, whatsapp, not 'fax'."),
        ({"stop": ""}, "stop", "is empty: it takes some of sms, viber"),
        ({"format": ["csv", "xlsx"]}, "format", "given once"),
        ({"format": "foo"}, "format", "must be csv, xlsx, parquet, jsonl or vcard, not 'foo'"),
        ({"format": ""}, "format", "is empty"),
        ({"format": "csv", "sheet": "A"}, "sheet", "sheet goes with xlsx, not with format=csv."),
        ({"format": "xlsx", "delimiter": ";"}, "delimiter", "delimiter goes with csv, not with format=xlsx."),
        (
            {"format": "vcard", "header": "false"},
            "header",
            "header goes with csv or xlsx, not with format=vcard.",
        ),
        ({"delimiter": "ab"}, "delimiter", "cannot be 'ab': name one character"),
        ({"delimiter": ""}, "delimiter", "is empty"),
        ({"encoding": "klingon"}, "encoding", "no encoding 'klingon'"),
        ({"encoding": "base64"}, "encoding", "no encoding 'base64'"),
        ({"encoding": "undefined"}, "encoding", "no encoding 'undefined'"),
        ({"encoding": "utf-8\0"}, "encoding", "no encoding"),
        ({"header": "maybe"}, "header", "must be true or false, not 'maybe'"),
        ({"phone_check": "strict"}, "phone_check", "valid or possible"),
        ({"sheet": " "}, "sheet", "is empty: it takes the name of a sheet"),
        ({"filename": ""}, "filename", "is empty"),
        ({"list": ""}, "list", "is empty"),
        ({"list_id": "0"}, "list_id", "must be the id of a list"),
    ],
)
def test_an_option_that_cannot_be_is_named(
    api: httpx.Client, query: dict[str, Any], field: str, message: str
) -> None:
    answer = api.post("/api/imports", params=query, content=csv_of(range(1, 3)).encode())
    assert answer.status_code == 422
    [problem] = answer.json()["errors"]
    assert problem["field"] == field
    assert message in problem["message"]
    assert api.get("/api/imports").json()["data"] == []


def test_options_of_a_form_are_checked_as_those_of_the_query(api: httpx.Client) -> None:
    file = {"file": ("a.csv", csv_of(range(1, 3)).encode())}
    wrong = {"format": "foo", "delimiter": "ab", "header": "", "sheets": "x"}
    answer = api.post("/api/imports", params={"encoding": "klingon"}, files=file, data=wrong)
    assert answer.status_code == 422
    assert {each["field"] for each in answer.json()["errors"]} == {*wrong, "encoding"}
    twice = api.post("/api/imports", params={"list": "Customers"}, files=file, data={"list": "Others"})
    assert twice.json()["errors"] == [{"field": "list", "message": "The list may be given once."}]
    assert api.get("/api/imports").json()["data"] == []


def test_what_is_read_may_be_said_in_any_case_and_by_name(api: httpx.Client) -> None:
    text = "phone\tname\n" + f"{PHONE + 1}\tAnn\n"
    said = {"format": "CSV", "delimiter": "TAB", "encoding": "UTF8", "header": "1", "region": "ua"}
    import_ = ended(api, imported(api, text, **said)["id"])
    assert (import_["state"], import_["file"]) == (
        "done",
        {"format": "csv", "encoding": "utf-8", "delimiter": "\t"},
    )
    spaced = imported(api, text.replace("\t", " "), delimiter=" ")
    assert ended(api, spaced["id"])["file"]["delimiter"] == " "


def test_rejects_are_safe_for_spreadsheets_unless_they_are_for_programs(api: httpx.Client) -> None:
    import_ = ended(api, imported(api, f"phone,note\n{PHONE + 1},\nx,=1+1\n")["id"])
    path = f"/api/imports/{import_['id']}/rejects"
    for query, note in (({}, "'=1+1"), ({"safe_for_spreadsheets": "false"}, "=1+1")):
        answer = api.get(path, params=query)
        assert [row["note"] for row in csv.DictReader(answer.text.splitlines())] == [note]
        assert f"rejects-{import_['id']}.csv" in answer.headers["content-disposition"]
    marked = api.get(path, params={"bom": "true"})
    assert marked.content == b"\xef\xbb\xbf" + api.get(path).content
    assert api.head(path).headers["content-length"] == str(len(api.get(path).content))
    for query in ({"safe_for_spreadsheets": ""}, {"safe": "1"}):
        refused = api.get(path, params=query)
        assert (refused.status_code, [each["field"] for each in refused.json()["errors"]]) == (422, [*query])


def test_an_error_names_options_of_http(api: httpx.Client) -> None:
    import_ = ended(api, imported(api, "name\nAnn\n", filename="people.csv")["id"])
    assert import_["error"].endswith("Say which one it is: map=COLUMN=phone.")
    koi8 = "телефон,имя\n1,Анна\n".encode("koi8-r")
    sent = api.post("/api/imports", params={"encoding": "utf-8"}, content=koi8)
    import_ = ended(api, sent.json()["data"]["id"])
    assert import_["error"].endswith("for example encoding=windows-1251.")


def test_what_is_not_there(api: httpx.Client, live: Live) -> None:
    for method, path in [
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/rejects"),
        ("POST", "/cancel"),
        ("POST", "/undo"),
    ]:
        answer = api.request(method, f"/api/imports/999{path}")
        assert (answer.status_code, answer.json()["message"]) == (422, "Import is not found")
    unknown = api.post("/api/imports", params={"list_id": 999}, content=b"phone\n1\n")
    assert (unknown.status_code, unknown.json()["message"]) == (422, "Contact group is not found")
    form = api.post("/api/imports", data={"list": "Customers"}, files={"other": b"x"})
    assert (form.status_code, form.json()["message"]) == (422, "The form has no part with the name file.")
    with live.client(live.new_key(rights=["read"])) as reader:
        assert reader.post("/api/imports", content=b"phone\n").status_code == 403


def test_a_bad_file_fails_with_a_sentence(api: httpx.Client) -> None:
    import_ = ended(api, imported(api, "name\nAnn\n", filename="people.csv")["id"])
    assert import_["state"] == "failed"
    assert "No column looks like phone numbers" in import_["error"]
    assert api.get(f"/api/imports/{import_['id']}/rejects").status_code == 409


def test_a_file_that_is_too_large_is_refused_and_not_kept(tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    flags = ("--import-bytes-max", "2000", "--spool-dir", str(spool))
    service = Service(f"sqlite:///{tmp_path}/rollbook.db", *flags)
    with service.client() as api:
        assert api.post("/api/imports", content=b"x" * 2001).status_code == 413
        streamed = api.post("/api/imports", content=iter([b"x" * 1500] * 2))
        assert streamed.status_code == 413
        form = api.post("/api/imports", files={"file": b"x" * 2001})
        assert (form.status_code, form.json()["message"]) == (
            413,
            "The file is larger than 2000 bytes (--import-bytes-max).",
        )
        import_ = ended(api, imported(api, csv_of(range(1, 3)))["id"])
        assert import_["state"] == "done"
    assert list((spool / "incoming").iterdir()) == []
    assert not (spool / f"1-{import_['id']}" / "upload").exists()
    assert service.stop() == 0


def test_a_service_without_workers_leaves_the_work_to_others(tmp_path: Path) -> None:
    service = Service(f"sqlite:///{tmp_path}/rollbook.db", "--import-workers", "0")
    with service.client() as api:
        import_ = imported(api, csv_of(range(1, 3)))
        assert api.get(f"/api/imports/{import_['id']}").json()["data"]["state"] == "waiting"
        assert api.post(f"/api/imports/{import_['id']}/cancel").json()["data"]["state"] == "cancelled"
    assert service.stop() == 0
