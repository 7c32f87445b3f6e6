"""Exports over HTTP: what the API shows comes as a file, whoever reads it and however slowly."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastexcel
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rollbook import accounts, lists
from rollbook.exports import MEDIA
from tests.calls import PHONE, made_contact, made_field, made_list, paged, stopped
from tests.conftest import Live, opened
from tests.servers import Service


def rows_of(answer: httpx.Response) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.text, newline="")))


def phones_of(answer: httpx.Response) -> list[int]:
    return [int(row["phone"]) - PHONE for row in rows_of(answer)]


@pytest.fixture
def book(api: httpx.Client) -> dict[str, int]:
    """Ids: lists `all` of 1 to 6 and `few` of 1 and 2; 2 and 3 stopped on SMS, 4 on Viber."""
    ids = {"all": made_list(api, "Everyone")["id"], "few": made_list(api, 'Few, "VIP"')["id"]}
    ids["field"] = made_field(api, "City")["id"]
    for number in range(1, 7):
        groups = [ids["all"], *([ids["few"]] if number < 3 else [])]
        values = [{"id": ids["field"], "value": f'Kyiv, "{number}"\n'}]
        ids[f"contact {number}"] = made_contact(api, number, groups=groups, fields=values)["id"]
    stopped(api, 2, 3, 99)
    stopped(api, 4, types=("viber",))
    return ids


def test_a_list_comes_out_as_the_api_shows_it(api: httpx.Client, book: dict[str, int]) -> None:
    answer = api.get(f"/api/groups/{book['all']}/export", params={"with_lists": "true"})
    assert answer.headers["content-type"] == "text/csv"
    assert answer.headers["content-disposition"] == f'attachment; filename="list-{book["all"]}.csv"'
    assert "content-encoding" not in answer.headers
    assert answer.headers["x-request-id"]
    rows = rows_of(answer)
    pages = paged(api, "/api/contacts", after=True, params={"groups[]": book["all"]})
    shown = [contact for page in pages for contact in page["data"]]
    assert len(rows) == len(shown) == 6
    for row, contact in zip(rows, reversed(shown), strict=True):
        assert row == {
            "phone": str(contact["phone"]),
            "id": str(contact["id"]),
            "created_at": f"{contact['created_at'].replace(' ', 'T')}Z",
            "stopped": {2: "sms", 3: "sms", 4: "viber"}.get(contact["phone"] - PHONE, ""),
            "lists": json.dumps([group["name"] for group in contact["groups"]], separators=(",", ":")),
            "City": contact["fields"][str(book["field"])],
        }


def test_only_who_is_reachable_or_stopped(api: httpx.Client, book: dict[str, int]) -> None:
    path = f"/api/groups/{book['all']}/export"
    cases: list[tuple[Any, list[int]]] = [
        ({"reachable": "sms"}, [1, 4, 5, 6]),
        ({"reachable": "sms,viber"}, [1, 5, 6]),
        ({"reachable[]": ["sms", "viber"]}, [1, 5, 6]),
        ({"stopped": "SMS"}, [2, 3]),
        ({"stopped": "sms,viber", "reachable": "viber"}, [2, 3]),
    ]
    for params, numbers in cases:
        assert phones_of(api.get(path, params=params)) == numbers, params
    assert phones_of(api.get("/api/contacts/export", params={"reachable": "viber"})) == [1, 2, 3, 5, 6]


def test_the_stop_list_and_channels_of_it(api: httpx.Client, book: dict[str, int]) -> None:
    answer = api.get("/api/stoplist/export")
    assert answer.headers["content-disposition"] == 'attachment; filename="stop-list.csv"'
    assert [(int(row["phone"]) - PHONE, row["channels"]) for row in rows_of(answer)] == [
        *[(2, "sms"), (3, "sms"), (4, "viber"), (99, "sms")]
    ]
    assert phones_of(api.get("/api/stoplist/export", params={"type": "viber,rcs"})) == [4]
    assert phones_of(api.get("/api/stoplist/export", params={"type": "rcs", "columns": "phone"})) == []


@pytest.mark.parametrize("format", [*MEDIA])
def test_every_format_over_http(api: httpx.Client, book: dict[str, int], format: str) -> None:
    answer = api.get("/api/contacts/export", params={"format": format, "columns": "phone,City"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == MEDIA[format]
    assert answer.headers["content-disposition"] == f'attachment; filename="contacts.{format}"'
    if format == "csv":
        rows: Any = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    elif format == "jsonl":
        rows = [json.loads(line) for line in answer.content.splitlines()]
    elif format == "parquet":
        rows = pq.read_table(pa.BufferReader(answer.content)).to_pylist()
    else:
        rows = fastexcel.read_excel(answer.content).load_sheet(0).to_arrow().to_pylist()
    assert [(int(row["phone"]) - PHONE, row["City"].strip()) for row in rows] == [
        (number, f'Kyiv, "{number}"') for number in range(1, 7)
    ]


def test_what_a_spreadsheet_would_run_is_marked_unless_it_is_to_stay(
    api: httpx.Client, book: dict[str, int]
) -> None:
    field = api.post("/api/contacts/fields", json={"name": "Note", "type": "text"}).json()["data"]["id"]
    made = api.post("/api/contacts", json={"phone": PHONE + 77, "fields": [{"id": field, "value": "=1+1"}]})
    assert made.status_code == 201
    notes = {}
    for query in ("", "safe_for_spreadsheets=true", "safe_for_spreadsheets=false", "bom=true"):
        answer = api.get(f"/api/contacts/export?columns=Note&{query}")
        notes[query] = answer.content.splitlines()[-1].decode()
        assert answer.content.startswith(b"\xef\xbb\xbf") == (query == "bom=true")
    assert set(notes.values()) == {'"\'=1+1"', '"=1+1"'}
    assert notes["safe_for_spreadsheets=false"] == '"=1+1"'
    lines = api.get("/api/contacts/export?columns=Note&format=jsonl").content.splitlines()
    assert json.loads(lines[-1]) == {"Note": "=1+1"}
    assert api.get("/api/contacts/export?format=xlsx&bom=true").json()["errors"][0]["field"] == "bom"


@pytest.mark.parametrize(("compress", "ending"), [("gzip", "gz"), ("zstd", "zst")])
def test_a_compressed_file_is_a_file_and_no_encoding(
    api: httpx.Client, book: dict[str, int], compress: str, ending: str
) -> None:
    answer = api.get("/api/contacts/export", params={"compress": compress})
    assert answer.headers["content-type"] == f"application/{compress}"
    assert answer.headers["content-disposition"] == f'attachment; filename="contacts.csv.{ending}"'
    assert "content-encoding" not in answer.headers
    data = (
        gzip.decompress(answer.content)
        if compress == "gzip"
        else pa.input_stream(pa.BufferReader(answer.content), compression="zstd").read()
    )
    assert data == api.get("/api/contacts/export").content


def test_columns_with_commas_are_quoted(api: httpx.Client, book: dict[str, int]) -> None:
    made_field(api, 'Last, "first"')
    answer = api.get("/api/contacts/export", params={"columns": '"Last, ""first""",phone'})
    assert [*rows_of(answer)[0]] == ['Last, "first"', "phone"]


def test_an_audience_is_counted_then_exported(api: httpx.Client, book: dict[str, int]) -> None:
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [1, 2, 3, 4, 5, 6]),
        ({"lists": [book["all"]], "minus": [book["few"]]}, [3, 4, 5, 6]),
        ({"lists": [book["all"]], "all_of": [str(book["few"])], "reachable": ["sms"]}, [1]),
        ({"all_of": [book["few"]], "stopped": ["sms", "viber"]}, [2]),
        ({"lists": [book["all"], book["few"]], "reachable": ["viber", "sms", "rcs"]}, [1, 5, 6]),
    ]
    for body, numbers in cases:
        assert api.post("/api/audience", json=body).json() == {"data": {"count": len(numbers)}}, body
        answer = api.post("/api/audience/export", json=body, params={"columns": "phone"})
        assert phones_of(answer) == numbers, body
        assert answer.headers["content-disposition"] == 'attachment; filename="audience.csv"'


@pytest.mark.parametrize(
    ("query", "field", "told"),
    [
        ({"format": "pdf"}, "format", "The format must be csv, jsonl, parquet or xlsx, not 'pdf'."),
        ({"compress": "rar"}, "compress", "The compress must be gzip or zstd, not 'rar'."),
        ({"format": "xlsx", "compress": "gzip"}, "compress", "A file in xlsx is compressed already."),
        (
            {"reachable": "telex"},
            "reachable",
            "The reachable must be any of sms, viber, rcs, whatsapp, not 'telex'.",
        ),
        ({"with_lists": "perhaps"}, "with_lists", "The with_lists must be true or false, not 'perhaps'."),
        (
            {"columns": "phone,a\rb"},
            "columns",
            "The columns must be comma-separated names; put a name that has a comma in quotation marks.",
        ),
        (
            {"columns": '"phone'},
            "columns",
            "The columns must be comma-separated names; put a name that has a comma in quotation marks.",
        ),
        (
            {"columns": "phone,Town"},
            "columns",
            "There is no column 'Town': there are phone, id, created_at, stopped, lists.",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused_before_anything_is_sent(
    api: httpx.Client, query: dict[str, str], field: str, told: str
) -> None:
    list_id = made_list(api, "Customers")["id"]
    for path in ("/api/contacts/export", f"/api/groups/{list_id}/export"):
        answer = api.get(path, params=query)
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": field, "message": told}]
        assert "content-disposition" not in answer.headers


def test_lists_of_an_audience_that_there_are_not_are_named(api: httpx.Client, live: Live) -> None:
    with live.client(live.new_key()) as other:
        theirs = made_list(other, "Theirs")["id"]
    body = {"lists": [theirs], "minus": ["x", 10**12], "reachable": ["fax"]}
    answer = api.post("/api/audience", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["minus[0]", "reachable"]
    for path in ("/api/audience", "/api/audience/export"):
        answer = api.post(path, json={"lists": [theirs], "minus": [10**12]})
        assert answer.json()["errors"] == [
            {"field": "lists", "message": f"There is no contact list {theirs}."},
            {"field": "minus", "message": f"There is no contact list {10**12}."},
        ]


def test_one_person_comes_out_whole(api: httpx.Client, book: dict[str, int]) -> None:
    stopped(api, 2, types=("whatsapp",))
    found = api.get(f"/api/contacts/{book['contact 2']}/export").json()["data"]
    contact = api.get(f"/api/contacts/{book['contact 2']}").json()["data"]
    [stop] = [row for row in api.get("/api/stoplist").json()["data"] if row["phone"] == PHONE + 2]
    assert found == {
        "phone": PHONE + 2,
        "exported_at": found["exported_at"],
        "contact": {
            "id": contact["id"],
            "created_at": contact["created_at"],
            "fields": {"City": 'Kyiv, "2"\n'},
            "groups": [{"id": group["id"], "name": group["name"]} for group in contact["groups"]],
        },
        "stoplist": {"id": stop["id"], "types": ["sms", "whatsapp"], "created_at": stop["created_at"]},
    }
    dated = api.get(f"/api/contacts/{contact['id']}/export", headers={"Prefer": "dates=rfc3339"}).json()
    assert dated["data"]["contact"]["created_at"].endswith("Z")


def test_a_head_request_starts_nothing(api: httpx.Client, book: dict[str, int]) -> None:
    answer = api.head("/api/contacts/export", params={"compress": "gzip"})
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="contacts.csv.gz"'
    assert answer.content == b""


# What concerns the process: a service of its own, with a book that does not fit into the socket's buffers.

ROWS = 300_000
MEMORY_MEGABYTES_MAX = 60
"""What the service may take more while it sends a file of 13 MB, several times over."""


class Big:
    """A service with an account of `ROWS` contacts, who are all in one list."""

    def __init__(self, service: Service, key: str, list_id: int) -> None:
        self.service = service
        self.key = key
        self.list_id = list_id

    @property
    def path(self) -> str:
        return f"/api/groups/{self.list_id}/export"

    def exporting(self) -> list[int]:
        """The processes that write exports."""
        children = Path(f"/proc/{self.service.process.pid}/task/{self.service.process.pid}/children")
        found = [int(text) for text in children.read_text().split()]
        return [id for id in found if b"rollbook.exports" in Path(f"/proc/{id}/cmdline").read_bytes()]

    def wait_until_none(self) -> None:
        deadline = time.monotonic() + 20
        while self.exporting() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert self.exporting() == []

    def memory(self) -> float:
        """Resident megabytes that are the service's own."""
        for line in Path(f"/proc/{self.service.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no RssAnon")

    def reading_slowly(self) -> socket.socket:
        """A client that asks for an export and then takes nothing of it."""
        host, port = self.service.url.removeprefix("http://").split(":")
        client = socket.create_connection((host, int(port)), timeout=30)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = f"GET {self.path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self.key}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(100).startswith(b"HTTP/1.1 200 OK")
        return client


@pytest.fixture(scope="module")
def big(live: Live) -> Big:
    account = live.new_account()
    key = live.new_key(account)
    with live.client(key) as api:
        list_id = made_list(api, "Everyone")["id"]
    with opened(live.service.database_url) as database:
        account_id = database.read(_account_of, account)
        database.write(_fill, account_id, list_id)
    return Big(live.service, key, list_id)


def _account_of(tx: Any, name: str) -> int:
    found = tx.one(int, "SELECT account_id FROM account WHERE name = :name AND sandbox_of IS NULL", name=name)
    assert isinstance(found, int)
    return found


def _fill(tx: Any, account_id: int, list_id: int) -> None:
    """As the API would, but at once."""
    ids = tx.new_ids("contact", ROWS)
    numbers = "WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < :last)"
    params = {"account_id": account_id, "first": ids[0], "last": ROWS - 1}
    tx.run(
        f"""
        INSERT INTO contact (account_id, id, phone, stop_mask, created_at)
        {numbers} SELECT :account_id, :first + n, {PHONE} + n, 0, 1700000000 FROM number
        """,
        **params,
    )
    tx.run(
        f"""
        INSERT INTO membership (account_id, list_id, contact_id)
        {numbers} SELECT :account_id, :list_id, :first + n FROM number
        """,
        list_id=list_id,
        **params,
    )
    tx.run(f"UPDATE contact_list SET items = {ROWS} WHERE account_id = :account_id", account_id=account_id)
    tx.run(f"UPDATE account SET contacts = {ROWS} WHERE account_id = :account_id", account_id=account_id)


def test_a_big_list_comes_whole_and_costs_the_service_no_memory(big: Big) -> None:
    with big.service.client(big.key) as api:
        before, most = big.memory(), 0.0
        for _ in range(3):
            with api.stream("GET", big.path) as answer:
                size = rows = 0
                for chunk in answer.iter_bytes():
                    size += len(chunk)
                    rows += chunk.count(b"\n")
                    most = max(most, big.memory())
            assert rows == ROWS + 1
            assert size > 12_000_000
        assert most - before < MEMORY_MEGABYTES_MAX


def test_a_client_that_goes_away_ends_the_export(big: Big) -> None:
    client = big.reading_slowly()
    assert len(big.exporting()) == 1
    client.close()
    big.wait_until_none()


def test_a_slow_client_costs_no_memory_and_others_are_answered_meanwhile(big: Big) -> None:
    before = big.memory()
    with big.reading_slowly(), big.service.client(big.key) as api:
        for _ in range(20):
            assert api.get(f"/api/groups/{big.list_id}").json()["data"]["items"] == ROWS
            time.sleep(0.02)
        assert len(big.exporting()) == 1
        assert big.memory() - before < MEMORY_MEGABYTES_MAX
    big.wait_until_none()


def test_only_so_many_exports_at_a_time(big: Big) -> None:
    clients = [big.reading_slowly() for _ in range(2)]
    with big.service.client(big.key) as api:
        refused = api.get(big.path)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "10"
        assert refused.headers["content-type"] == "application/json"
        assert refused.json()["message"] == "2 exports are under way; try again later."
        assert "content-disposition" not in refused.headers
        assert api.head(big.path).status_code == 200
        for client in clients:
            client.close()
        big.wait_until_none()
        deadline = time.monotonic() + 10
        while (answer := api.get(big.path, params={"columns": "id"})).status_code == 503:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert answer.status_code == 200


def test_an_export_that_breaks_off_is_seen_to_be_broken(big: Big) -> None:
    with big.service.client(big.key) as api, api.stream("GET", big.path) as answer:
        chunks = answer.iter_raw()
        next(chunks)
        [exporting] = big.exporting()
        os.kill(exporting, 9)
        with pytest.raises(
            httpx.RemoteProtocolError, match=r"without sending complete|incomplete chunked read"
        ):
            for _ in itertools.islice(chunks, 10_000):
                pass
    big.wait_until_none()
    assert "ended with -9" in big.service.log()


@pytest.fixture
def own(url: str) -> Callable[..., Big]:
    """Makes a service of the test's own, with such a book."""

    def made(**how: Any) -> Big:
        service = Service(url, **how)
        with opened(url) as database:
            account = database.write(accounts.create, name="big")
            key = database.write(accounts.create_key, account="big", rights=["read"]).key
            list_id = database.write(lists.create, account.account_id, lists.NewList("Everyone")).id
            database.write(_fill, account.account_id, list_id)
        return Big(service, key, list_id)

    return made


def test_an_export_whose_service_is_killed_ends_by_itself(own: Callable[..., Big]) -> None:
    """Its process sees the end of its standard input, though its client takes nothing."""
    big = own()
    with big.reading_slowly():
        [exporting] = big.exporting()
        big.service.kill()
        deadline = time.monotonic() + 10
        while is_alive(exporting) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(exporting)


def test_a_client_that_takes_nothing_for_long_loses_the_connection(own: Callable[..., Big]) -> None:
    big = own(module="tests.exports.impatient")
    with big.reading_slowly():
        big.wait_until_none()
        with big.service.client(big.key) as api:
            assert api.get(big.path).status_code == 200
        assert big.service.stop() == 0  # which would wait for it half a minute
    assert "a client took nothing of an export for 1 seconds; it is ended" in big.service.log()
    assert "forced" not in big.service.log()


def test_a_service_that_is_told_to_end_lets_exports_finish(own: Callable[..., Big]) -> None:
    big = own()
    with big.service.client(big.key) as api, api.stream("GET", big.path) as answer:
        chunks = answer.iter_raw()
        first = next(chunks)
        big.service.process.terminate()
        rest = b"".join(chunks)
        assert (first + rest).count(b"\n") == ROWS + 1
    assert big.service.process.wait(30) == 0


def is_alive(process_id: int) -> bool:
    """Whether a process runs; one that ended and that nobody asked about does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
