"""What whoever runs the service relies on: health, metrics, logs, settings, memory."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import httpx
import pytest

from rollbook.logs import JsonFormatter
from tests.conftest import Live
from tests.servers import Service, free_port


def test_health_and_readiness_need_no_token(live: Live) -> None:
    with httpx.Client(base_url=live.service.url) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.get("/readyz").json() == {"status": "ready"}
        for path in ("/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"):
            head = client.head(path)
            assert (head.status_code, head.content) == (200, b"")


def test_metrics_count_requests_batches_and_commits(live: Live, api: httpx.Client) -> None:
    for number in range(3):
        assert api.post("/api/groups", json={"name": f"list {number}"}).status_code == 201
    api.get("/api/nothing")
    answer = api.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    found = {
        name: float(value)
        for name, value in re.findall(r"^(\w+(?:\{[^}]*\})?) ([\d.e+-]+)$", answer.text, re.MULTILINE)
    }
    assert found['rollbook_requests_total{method="POST",route="/api/groups",status="201"}'] >= 3
    assert found['rollbook_requests_total{method="GET",route="unknown",status="404"}'] >= 1
    assert found['rollbook_request_seconds_count{method="POST",route="/api/groups"}'] >= 3
    assert found["rollbook_write_batch_size_count"] >= 3
    assert found["rollbook_commit_seconds_count"] == found["rollbook_write_batch_size_count"]
    assert found['rollbook_queue_depth{queue="write"}'] == 0
    assert found['rollbook_queue_depth{queue="read"}'] == 0


def test_the_log_has_one_object_a_line_and_no_secret(tmp_path: Path) -> None:
    service = Service(f"sqlite:///{tmp_path}/rollbook.db")
    with service.client() as client:
        made = client.post("/api/groups", json={"name": "Customers"}, headers={"X-Request-Id": "mine"})
        token = client.post("/api/auth/login", json={"api_key": service.key}).json()["bearer"]
        client.get("/api/groups?search[value]=380441234567", headers={"Authorization": f"Bearer {token}"})
        client.get("/api/nothing/live_secret")
        client.post("/api/auth/login", json={"api_key": "live_wrong"})
        client.get("/api/groups", headers={"Authorization": "Bearer nonsense"})
    assert service.stop() == 0
    lines = [json.loads(line) for line in service.log().splitlines()]
    requests = [line for line in lines if line["event"] == "request"]
    first = requests[0]
    assert set(first) == {
        "time",
        "level",
        "event",
        "request_id",
        "account_id",
        "method",
        "route",
        "status",
        "ms",
    }
    assert (first["request_id"], first["account_id"], first["status"]) == ("mine", 1, made.status_code)
    assert (first["method"], first["route"]) == ("POST", "/api/groups")
    assert 0 < first["ms"] < 60_000
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["time"])
    assert [line["status"] for line in requests] == [201, 200, 200, 404, 401, 401]
    for secret in (service.key, token, "380441234567", "live_", "nonsense", "Customers"):
        assert secret not in service.log()


def test_no_line_is_logged_for_a_request_above_info(tmp_path: Path) -> None:
    service = Service(f"sqlite:///{tmp_path}/rollbook.db", env={"ROLLBOOK_LOG_LEVEL": "warning"})
    with service.client() as client:
        assert client.get("/healthz").status_code == 200
    assert service.stop() == 0
    assert service.log() == ""


def test_a_failure_leaves_a_trace_in_the_log_and_none_in_the_answer(tmp_path: Path) -> None:
    import apsw

    path = tmp_path / "rollbook.db"
    service = Service(f"sqlite:///{path}")
    with service.client() as client:
        other = apsw.Connection(str(path))
        other.execute("ALTER TABLE contact_list RENAME TO lost")
        other.close()
        for answer in (client.get("/api/groups/1"), client.post("/api/groups", json={"name": "abc"})):
            assert answer.status_code in (500, 503)
            assert set(answer.json()) == {"message", "errors"}
            assert "contact_list" not in answer.text
            assert "Traceback" not in answer.text
            assert answer.headers["X-Request-Id"]
    assert service.stop() == 0
    assert "no such table" in service.log()
    for line in service.log().splitlines():
        json.loads(line)


def test_it_listens_where_it_is_told_and_only_locally_by_default(tmp_path: Path) -> None:
    port = free_port()
    service = Service(f"sqlite:///{tmp_path}/rollbook.db", port=port, env={"ROLLBOOK_HOST": "127.0.0.1"})
    assert service.url == f"http://127.0.0.1:{port}"
    assert service.stop() == 0
    from rollbook.config import Settings

    assert (Settings().host, Settings().port) == ("127.0.0.1", 8080)


def test_the_first_start_prints_a_curl_line_that_works(tmp_path: Path) -> None:
    import shlex
    import subprocess

    service = Service(f"sqlite:///{tmp_path}/rollbook.db")
    line = service.banner[service.banner.index("curl ") :].split("'\n\n")[0] + "'"
    done = subprocess.run(shlex.split(line.replace("\\\n", " ")), capture_output=True, text=True, check=True)
    head, body = done.stdout.replace("\r", "").split("\n\n")
    assert head.startswith("HTTP/1.1 201 ")
    keys = ["id", "name", "description", "default", "created_at", "items", "stop_list_count"]
    assert list(json.loads(body)["data"]) == keys
    assert json.loads(body)["data"]["id"] == 1
    assert service.stop() == 0
    again = Service(service.database_url)
    assert again.key == ""
    assert "live_" not in again.banner
    assert again.stop() == 0


def test_idle_memory_is_small(live: Live) -> None:
    status = Path(f"/proc/{live.service.process.pid}/status").read_text()
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident is not None
    assert int(resident[1]) < 120 * 1024


def test_records_of_libraries_are_logged_in_the_same_form() -> None:
    try:
        raise ValueError("broken")
    except ValueError as error:
        record = logging.LogRecord(
            "lib", logging.ERROR, "", 1, "it %s", ("failed",), (type(error), error, None)
        )
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["event"], line["logger"]) == ("error", "it failed", "lib")
    assert "ValueError: broken" in line["trace"]


@pytest.mark.parametrize(
    ("flags", "env", "message"),
    [
        (["--port", "70000"], {}, "--port must be between 0 and 65535"),
        (["--header-seconds", "nan"], {}, "--header-seconds must be a finite number, not nan"),
        ([], {"ROLLBOOK_REQUEST_SECONDS": "inf"}, "--request-seconds must be a finite number, not inf"),
        ([], {"ROLLBOOK_PORT": "eighty"}, "ROLLBOOK_PORT must be a whole number, not 'eighty'"),
        ([], {"ROLLBOOK_PROT": "80"}, "ROLLBOOK_PROT is not a setting"),
        (["--log-level", "loud"], {}, "--log-level must be one of"),
        (["--database-url", "mysql://x"], {}, "is not a database URL"),
        (["--database-url", "rollbook.db"], {}, "is not a database URL"),
        (
            ["--database-url", "sqlite:////proc/none/x.db", "--create"],
            {},
            "The folder /proc/none is not there",
        ),
        (["--database-url", "postgresql://u:secret@127.0.0.1:1/x"], {}, "at 127.0.0.1 cannot be reached"),
    ],
)
def test_a_bad_setting_is_named_and_nothing_starts(
    flags: list[str], env: dict[str, str], message: str, tmp_path: Path
) -> None:
    from tests.servers import run

    url = ["--database-url", f"sqlite:///{tmp_path}/rollbook.db"] if "--database-url" not in flags else []
    port = ["--port", "0"] if "--port" not in flags and not env else []
    done = run("serve", *url, *port, *flags, env=env)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    from tests.servers import run

    service = Service(f"sqlite:///{tmp_path}/one.db")
    port = service.url.rpartition(":")[2]
    done = run("serve", "--database-url", f"sqlite:///{tmp_path}/two.db", "--port", port)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr
    assert service.stop() == 0
