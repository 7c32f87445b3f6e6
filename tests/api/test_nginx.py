"""The sample for nginx in docs/how-to/operate.md, word for word, with nginx itself before a service."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.calls import PHONE, ended
from tests.servers import Service, free_port, nginx

DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "operate.md"
PATIENCE_SECONDS = 60
ROWS = 120_000
"""Of a file of more than 1 MB."""


def sample(service: Service, port: int) -> str:
    """The block as it is printed, but for addresses, and for TLS, for which there is no certificate."""
    found = re.search(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert found is not None
    text = found[1]
    for old, new in (
        ("server 127.0.0.1:8080;", f"server {service.url.removeprefix('http://')};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
    ):
        assert old in text
        text = text.replace(old, new)
    return re.sub(r"^ *ssl_certificate.*\n", "", text, flags=re.MULTILINE)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(f"sqlite:///{tmp_path_factory.mktemp('behind')}/rollbook.db")
    yield service
    assert service.stop() == 0


@pytest.fixture(scope="module")
def proxied(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of the service behind nginx."""
    program = nginx()
    assert program is not None, "nginx is not installed"
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; user root;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{sample(service, port)}\n}}\n"
    )
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf")])
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                assert process.poll() is None, (folder / "error.log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.05)
        headers = {"Authorization": f"Bearer {service.key}"}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client:
            yield client
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
def test_a_large_upload_its_events_and_its_export_go_through_nginx(
    proxied: httpx.Client, chunked: bool
) -> None:
    body = b"phone\n" + b"".join(b"+%d\n" % (PHONE + number) for number in range(ROWS))
    assert len(body) > 1_500_000
    pieces = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
    sent = proxied.post(
        "/api/imports?list=Behind&phone_check=possible",
        content=pieces if chunked else body,
        headers={"Content-Type": "text/csv"},
    )
    assert sent.status_code == 202, sent.text
    import_ = sent.json()["data"]["id"]
    with proxied.stream("GET", f"/api/imports/{import_}/events") as events:
        assert events.status_code == 200
        states = [line.removeprefix("event: ") for line in events.iter_lines() if line.startswith("event: ")]
    assert states[-1] == "done"
    done = ended(proxied, import_)
    assert done["rows_read"] == ROWS
    with proxied.stream("GET", f"/api/groups/{done['list_id']}/export?columns=phone") as export:
        assert export.status_code == 200
        assert sum(1 for _ in export.iter_lines()) == ROWS + 1


def test_an_event_comes_through_nginx_before_the_stream_ends(proxied: httpx.Client) -> None:
    body = b"phone\n" + b"".join(b"+%d\n" % (PHONE + number) for number in range(1000))
    import_ = proxied.post("/api/imports?list=Events", content=body, headers={"Content-Type": "text/csv"})
    with proxied.stream("GET", f"/api/imports/{import_.json()['data']['id']}/events") as events:
        first = next(line for line in events.iter_lines() if line.startswith("data: "))
        assert json.loads(first.removeprefix("data: "))["state"]


def test_long_queries_go_through_and_metrics_do_not(proxied: httpx.Client) -> None:
    query = "&".join(f"groups[]={number}" for number in range(4000))
    assert proxied.get(f"/api/groups?{query}").status_code == 200
    assert proxied.get("/metrics").status_code == 403
