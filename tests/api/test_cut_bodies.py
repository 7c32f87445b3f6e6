"""A request whose body is cut off changes nothing, wherever it is cut, and may be sent again."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from rollbook import accounts, verify
from tests.calls import PHONE, ended, made_list
from tests.conftest import Live, opened

MEMBERS = 60
TENTHS = range(10)

ROWS = "phone\n" + "".join(f"+{PHONE + number}\n" for number in range(MEMBERS // 3))
"""A third of the members."""

FORM = (
    '--edge\r\nContent-Disposition: form-data; name="mode"\r\n\r\nreplace\r\n'
    '--edge\r\nContent-Disposition: form-data; name="file"; filename="rows.csv"\r\n\r\n'
    f"{ROWS}\r\n--edge--\r\n"
)


class Whole(NamedTuple):
    """A request that would change the book if a part of it were taken for the whole."""

    name: str
    target: str
    kind: str
    body: str
    chunked: bool = False

    def head(self, key: str, **headers: str) -> bytes:
        """Its head."""
        length = {"Transfer-Encoding": "chunked"} if self.chunked else {"Content-Length": str(len(self.body))}
        fields = {
            "Host": "here",
            "Authorization": f"Bearer {key}",
            "Content-Type": self.kind,
            **length,
            **headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        return f"POST {self.target} HTTP/1.1\r\n{lines}\r\n".encode()

    def tail(self) -> bytes:
        """Its body as it goes over the wire."""
        body = self.body.encode()
        if not self.chunked:
            return body
        pieces = [body[at : at + 100] for at in range(0, len(body), 100)]
        return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _wholes(list_id: int) -> list[Whole]:
    replace = f"/api/imports?list_id={list_id}&mode=replace&phone_check=possible"
    stops = json.dumps({"phones": [PHONE + number for number in range(MEMBERS)], "types": ["sms"]})
    phones = json.dumps({"phones": [PHONE + 500 + number for number in range(MEMBERS)]})
    return [
        Whole("file", replace, "text/csv", ROWS),
        Whole("file in chunks", replace, "text/csv", ROWS, chunked=True),
        Whole("opt-outs", "/api/imports?stop=sms&phone_check=possible", "text/csv", ROWS),
        Whole(
            "form",
            f"/api/imports?list_id={list_id}&phone_check=possible",
            "multipart/form-data; boundary=edge",
            FORM,
        ),
        Whole("JSON", "/api/stoplist/attach", "application/json", stops),
        Whole("JSON in chunks", "/api/stoplist/attach", "application/json", stops, chunked=True),
        Whole("bulk JSON", f"/api/groups/{list_id}/contacts", "application/json", phones),
    ]


def _close(connection: socket.socket) -> None:
    connection.close()


def _half_close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


ENDS: dict[str, Callable[[socket.socket], None]] = {
    "close": _close,
    "half-close": _half_close,
    "reset": _reset,
}


class Book(NamedTuple):
    """An account with a list of `MEMBERS` members."""

    live: Live
    api: httpx.Client
    key: str
    list_id: int

    def state(self) -> object:
        """Everything that could have changed."""
        counts = self.api.get(f"/api/groups/{self.list_id}/stats").json()
        stops = self.api.get("/api/stoplist").json()["total"]
        contacts = self.api.get("/api/contacts").json()["total"]
        imports = self.api.get("/api/imports").json()["data"]
        return counts, stops, contacts, imports

    def connect(self) -> socket.socket:
        """A connection to the service."""
        address = urlsplit(self.live.service.url)
        return socket.create_connection((address.hostname or "", address.port or 0), timeout=60)

    def send(self, whole: Whole, **headers: str) -> bytes:
        """Send a request to its end; the answer."""
        with self.connect() as connection:
            connection.sendall(whole.head(self.key, **{"Connection": "close", **headers}) + whole.tail())
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        return answer


@pytest.fixture
def book(live: Live) -> Iterator[Book]:
    key = live.new_key()
    with live.client(key) as api:
        list_id = made_list(api, "Everybody")["id"]
        phones = [PHONE + number for number in range(MEMBERS)]
        assert api.post(f"/api/groups/{list_id}/contacts", json={"phones": phones}).status_code == 200
        yield Book(live, api, key, list_id)


@pytest.mark.parametrize("end", ENDS)
def test_a_body_that_is_cut_changes_nothing(book: Book, end: str) -> None:
    before = book.state()
    for whole in _wholes(book.list_id):
        tail = whole.tail()
        for tenth in TENTHS:
            part = tail[: max(1, len(tail) * tenth // 10)] if tenth else b""
            with book.connect() as connection:
                connection.sendall(whole.head(book.key) + part)
                ENDS[end](connection)
    for whole in _wholes(book.list_id):  # all but the last byte
        with book.connect() as connection:
            connection.sendall(whole.head(book.key) + whole.tail()[:-1])
            ENDS[end](connection)
    _settled(book)
    assert book.state() == before
    with opened(book.live.service.database_url) as database:
        for account in database.read(accounts.all):
            assert database.read(verify.recount, account.account_id) == []


def _settled(book: Book) -> None:
    """Whatever was sent before on other connections has been dealt with: later requests were answered."""
    for _ in range(20):
        assert book.api.get(f"/api/groups/{book.list_id}").status_code == 200


@pytest.mark.parametrize("number", range(7))
def test_after_a_cut_the_same_key_may_be_used_again(book: Book, number: int) -> None:
    whole = _wholes(book.list_id)[number]
    key = {"Idempotency-Key": str(uuid.uuid4())}
    with book.connect() as connection:
        connection.sendall(whole.head(book.key, **key) + whole.tail()[: len(whole.tail()) // 2])
        _half_close(connection)
    answer = book.send(whole, **key)
    assert answer.split(b" ")[1] in (b"200", b"202"), answer
    assert b"Replayed" not in answer
    again = book.send(whole, **key)
    assert b"dempotent-Replayed: true" in again or b"idempotent-replayed: true" in again
    found = book.api.get("/api/imports").json()["data"]
    for each in found:
        assert ended(book.api, each["id"])["state"] == "done"
    assert len(found) <= 1


def test_a_slow_body_that_comes_whole_is_taken(book: Book) -> None:
    whole = _wholes(book.list_id)[4]
    tail = whole.tail()
    with book.connect() as connection:
        connection.sendall(whole.head(book.key, Connection="close"))
        pause = threading.Event()
        for at in range(0, len(tail), 97):
            pause.wait(0.005)
            connection.sendall(tail[at : at + 97])
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_form_without_its_last_boundary_is_refused(book: Book) -> None:
    before = book.state()
    for cut in ("\r\n--edge--\r\n", "--edge--\r\n", "--\r\n", f"{ROWS}\r\n--edge--\r\n"):
        body = FORM.removesuffix(cut)
        answer = book.api.post(
            "/api/imports",
            params={"list_id": book.list_id},
            content=body.encode(),
            headers={"Content-Type": "multipart/form-data; boundary=edge"},
        )
        assert answer.status_code == 400, (cut, answer.text)
        assert book.state() == before


def test_a_length_and_chunks_at_once_are_refused(book: Book) -> None:
    before = book.state()
    whole = _wholes(book.list_id)[1]
    assert book.send(whole, **{"Content-Length": "5"}).startswith(b"HTTP/1.1 400")
    assert book.state() == before


def _digest(name: str, body: bytes) -> str:
    made = hashlib.new(name.replace("-", ""), body).digest()
    return f"{name}=:{base64.b64encode(made).decode()}:"


def test_a_digest_is_checked_where_one_is_sent(book: Book) -> None:
    stops = json.dumps({"phones": [PHONE + 1], "types": ["sms"]}).encode()

    def post(path: str, body: bytes, digest: str) -> httpx.Response:
        headers = {"Content-Digest": digest, "Content-Type": "application/json"}
        return book.api.post(path, content=body, headers=headers)

    before = book.state()
    replace = f"/api/imports?list_id={book.list_id}&mode=replace&phone_check=possible"
    for path, body in (("/api/stoplist/attach", stops), (replace, ROWS.encode() * 2_000)):
        for wrong in (
            _digest("sha-256", body + b" "),
            _digest("sha-512", body[:-1]),
            f"{_digest('sha-256', body)}, {_digest('sha-512', b'')}",
            "sha-256=:AAAA:",
            "sha-256=abc",
            "nonsense",
        ):
            answer = post(path, body, wrong)
            assert answer.status_code == 400, (wrong, answer.text)
            assert "Content-Digest" in answer.json()["message"]
    assert book.state() == before
    both = f"md5=:AAAA:, {_digest('sha-256', stops)}, {_digest('sha-512', stops)}"
    assert post("/api/stoplist/attach", stops, both).status_code == 200
    body = ROWS.encode() * 2_000
    assert post(replace, body, _digest("sha-512", body)).status_code == 202
