"""Content-Digest: the sender says what the bytes of the body are, and they are compared."""

from __future__ import annotations

import base64
import hashlib

import httpx
import pytest

from rollbook.api.digests import WANTED
from tests.calls import PHONE, ended
from tests.imports.desk import csv_of

FILE = csv_of(range(1, 4)).encode()


def digest(data: bytes, name: str = "sha-256") -> str:
    """A digest as the header has it."""
    found = hashlib.new(name.replace("-", ""), data).digest()
    return f"{name}=:{base64.b64encode(found).decode()}:"


@pytest.mark.parametrize(
    "header",
    [
        digest(FILE),
        digest(FILE, "sha-512"),
        f"{digest(FILE)}, {digest(FILE, 'sha-512')}",
        f'md5=:AAAA:, {digest(FILE)};whole=?1;by="me" ,\t{digest(FILE, "sha-512")}; q',
        f"{digest(b'else')},{digest(FILE)}",  # the last one of a name counts
    ],
    ids=["sha-256", "sha-512", "both", "with others", "twice"],
)
def test_a_body_that_is_as_described_is_taken(api: httpx.Client, header: str) -> None:
    answer = api.post("/api/imports", content=FILE, headers={"Content-Digest": header})
    assert answer.status_code == 202, answer.text
    assert "Want-Content-Digest" not in answer.headers
    ended(api, answer.json()["data"]["id"])


def test_other_bytes_than_described_change_nothing_and_claim_no_key(api: httpx.Client) -> None:
    for header in (digest(b"else"), f"{digest(FILE)}, {digest(b'else', 'sha-512')}"):
        headers = {"Content-Digest": header, "Idempotency-Key": "once"}
        for sent in (FILE, iter([FILE[:9], FILE[9:]]), b""):
            refused = api.post("/api/imports", content=sent, headers=headers)
            assert refused.status_code == 400
            assert "is not the one that Content-Digest describes: its sha-" in refused.json()["message"]
    assert api.get("/api/imports").json()["data"] == []
    taken = api.post(
        "/api/imports", content=FILE, headers={"Content-Digest": digest(FILE), "Idempotency-Key": "once"}
    )
    assert taken.status_code == 202
    ended(api, taken.json()["data"]["id"])


def test_the_digest_of_a_form_is_that_of_the_whole_form(api: httpx.Client) -> None:
    form = b'--edge\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + FILE + b"\r\n--edge--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    refused = api.post("/api/imports", content=form, headers={**headers, "Content-Digest": digest(FILE)})
    assert refused.status_code == 400
    taken = api.post("/api/imports", content=form, headers={**headers, "Content-Digest": digest(form)})
    assert taken.status_code == 202
    ended(api, taken.json()["data"]["id"])


def test_every_body_may_be_described(api: httpx.Client) -> None:
    body = b'{"contacts": [{"phone": %d}]}' % PHONE
    calls = [
        ("POST", "/api/contacts/upsert", body, 200),
        ("POST", "/api/audience/export", b"{}", 200),
        ("POST", "/api/contacts/delete?contact_ids[]=999999", b"", 204),
        ("DELETE", "/api/contacts/{id}", b"", 204),
    ]
    for method, path, data, status in calls:
        if "{id}" in path:
            path = path.replace("{id}", str(api.get("/api/contacts").json()["data"][0]["id"]))
        headers = {"Content-Type": "application/json", "Content-Digest": digest(data + b" ")}
        assert api.request(method, path, content=data, headers=headers).status_code == 400, path
        headers["Content-Digest"] = digest(data)
        taken = api.request(method, path, content=data, headers=headers)
        assert taken.status_code == status, taken.text
    assert api.get("/api/contacts").json()["total"] == 0


def test_digests_in_several_headers_are_one_list(api: httpx.Client) -> None:
    for others in ([digest(FILE, "sha-512"), digest(b"else")], [digest(b"else"), digest(FILE, "sha-512")]):
        headers = httpx.Headers([("Content-Digest", other) for other in others])
        assert api.post("/api/imports", content=FILE, headers=headers).status_code == 400


def test_digests_that_nobody_here_can_check_are_left_out_and_better_ones_named(api: httpx.Client) -> None:
    for header in ("md5=:AAAAAAAAAAAAAAAAAAAAAA==:", "crc32c=:AAAAAA==:, x=::"):
        answer = api.post("/api/contacts/upsert", json={"contacts": []}, headers={"Content-Digest": header})
        assert (answer.status_code, answer.headers["Want-Content-Digest"]) == (422, WANTED)


@pytest.mark.parametrize(
    "header",
    [
        "sha-256",
        "sha-256=abc",
        f"SHA-256={digest(FILE).partition('=')[2]}",
        digest(FILE).rstrip(":"),
        "sha-256=:AAAA:",  # too short
        "sha-256=:A:",
        f"{digest(FILE)},",
        f"{digest(FILE)} {digest(FILE)}",
        f",{digest(FILE)}",
        f"{digest(FILE)}; ,",
        "md5=1, " + digest(FILE),
        "sha-256=:" + "A" * 4000 + ":",
        ";" * 4000,
    ],
    ids=lambda header: header[:12],
)
def test_a_header_that_cannot_be_read_is_refused(api: httpx.Client, header: str) -> None:
    answer = api.post("/api/imports", content=FILE, headers={"Content-Digest": header})
    assert answer.status_code == 400
    assert answer.json()["message"].startswith("The header Content-Digest is malformed: ")
    assert api.get("/api/imports").json()["data"] == []
