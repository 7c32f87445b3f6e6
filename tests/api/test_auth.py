"""Login, refresh, keys, rights and how they end."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import jwt
import pytest

from rollbook import accounts, sandbox
from tests.conftest import ENGINES, Live, opened
from tests.servers import Postgres, Service

FRESH_SECONDS = 1.0


@pytest.fixture(scope="module", params=ENGINES)
def quick(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A service whose tokens live 3 seconds and which checks keys every second."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('quick')}/rollbook.db"
    else:
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.create_database("quick")
    flags = ("--token-days", str(3 / 86_400), "--auth-cache-seconds", str(FRESH_SECONDS))
    service = Service(url, *flags)
    yield Live(service, str(request.param), service.key)
    assert service.stop() == 0


def login(live: Live, key: str) -> str:
    answer = httpx.post(f"{live.service.url}/api/auth/login", json={"api_key": key})
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["bearer"]
    return str(answer.json()["bearer"])


def test_a_login_gives_a_token_with_the_documented_claims(live: Live) -> None:
    token = login(live, live.new_key(rights=("read", "write")))
    claims = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"iat", "exp", "id", "roles", "key"}
    assert claims["exp"] - claims["iat"] == 30 * 86_400
    assert abs(claims["iat"] - time.time()) < 60
    assert isinstance(claims["id"], int)
    assert claims["roles"] == ["read", "write"]
    with live.client(token) as client:
        assert client.get("/api/groups").json() == {"data": [], "total": 0, "next": None}


def test_a_refresh_gives_a_token_with_a_new_term(live: Live) -> None:
    token = login(live, live.new_key())
    for headers in ({}, {"Content-Type": "application/x-www-form-urlencoded"}):
        with live.client(token) as client:
            answer = client.post("/api/auth/refresh", headers=headers)
        assert answer.status_code == 200
        assert list(answer.json()) == ["bearer"]
        token = answer.json()["bearer"]
    with live.client(token) as client:
        assert client.get("/api/groups").status_code == 200


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "Bearer: {}", "Bearer   {}"])
def test_a_bearer_may_be_a_token_or_a_key_in_every_form(live: Live, form: str) -> None:
    key = live.new_key()
    for bearer in (key, login(live, key)):
        headers = {"Authorization": form.format(bearer)}
        assert httpx.get(f"{live.service.url}/api/groups", headers=headers).status_code == 200
        assert httpx.get(f"{live.service.url}/api/groups", headers={"Bearer": bearer}).status_code == 200


def test_an_expired_token_is_refused_and_changes_nothing(quick: Live) -> None:
    key = quick.new_key()
    token = login(quick, key)
    with quick.client(token) as client:
        assert client.post("/api/groups", json={"name": "in time"}).status_code == 201
        time.sleep(3.2)
        late = client.post("/api/groups", json={"name": "too late"})
        assert client.post("/api/auth/refresh").status_code == 401
    assert late.status_code == 401
    assert late.json() == {"message": "The token has expired: log in again.", "errors": []}
    with quick.client(key) as client:
        assert [row["name"] for row in client.get("/api/groups").json()["data"]] == ["in time"]


def test_a_revoked_key_and_its_tokens_are_refused(quick: Live) -> None:
    account = quick.new_account()
    key, other = quick.new_key(account), quick.new_key(account)
    token = login(quick, key)
    for bearer in (key, token):
        with quick.client(bearer) as client:
            assert client.get("/api/groups").status_code == 200
    with opened(quick.service.database_url) as database:
        [first, _] = database.read(accounts.keys, account=account)
        database.write(accounts.revoke_key, key_id=first.id)
    time.sleep(FRESH_SECONDS + 0.1)
    for bearer, message in (
        (key, "The API key is unknown or was revoked."),
        (token, "The API key of this token was revoked."),
    ):
        with quick.client(bearer) as client:
            for answer in (client.get("/api/groups"), client.post("/api/groups", json={"name": "abc"})):
                assert (answer.status_code, answer.json()) == (401, {"message": message, "errors": []})
    refused = httpx.post(f"{quick.service.url}/api/auth/login", json={"api_key": key})
    assert refused.status_code == 401
    with quick.client(other) as client:
        assert client.get("/api/groups").json()["total"] == 0


def test_a_key_is_believed_for_at_most_a_minute(live: Live) -> None:
    """The default and the highest value that the setting takes keep the promise of 60 seconds."""
    from rollbook.config import Settings
    from rollbook.errors import Invalid

    assert Settings().auth_cache_seconds <= 60
    with pytest.raises(Invalid):
        Settings(auth_cache_seconds=61)


@pytest.mark.parametrize(
    ("rights", "reads", "writes"),
    [(("read",), 200, 403), (("write",), 403, 201), (("read", "write"), 200, 201), (("admin",), 200, 201)],
)
def test_a_key_does_what_its_rights_allow(
    live: Live, rights: tuple[str, ...], reads: int, writes: int
) -> None:
    account = live.new_account()
    key = live.new_key(account, rights)
    for number, bearer in enumerate((key, login(live, key))):
        with live.client(bearer) as client:
            assert client.get("/api/groups").status_code == reads
            answer = client.post("/api/groups", json={"name": f"list {number}"})
            assert answer.status_code == writes
            if writes == 403:
                assert answer.json() == {"message": "This key does not have the right 'write'.", "errors": []}
            assert client.post("/api/auth/refresh").status_code == 200


def test_a_test_key_works_on_data_of_its_own_that_can_be_wiped(live: Live) -> None:
    account = live.new_account()
    with (
        live.client(live.new_key(account)) as real,
        live.client(live.new_key(account, test=True)) as tester,
    ):
        mine = real.post("/api/groups", json={"name": "Customers"}).json()["data"]
        assert tester.get("/api/groups").json()["total"] == 0
        trial = tester.post("/api/groups", json={"name": "Customers"})
        assert trial.status_code == 201
        assert real.get(f"/api/groups/{trial.json()['data']['id']}").status_code == 422
        with opened(live.service.database_url) as database:
            assert database.write(sandbox.wipe, name=account) == 1
        assert tester.get("/api/groups").json()["total"] == 0
        assert real.get("/api/groups").json()["data"] == [mine]


def test_a_login_takes_no_large_body(live: Live) -> None:
    """Anybody can send one."""
    with live.client() as client:
        for size, status in ((1_000, 401), (17_000, 413)):
            answer = client.post("/api/auth/login", json={"api_key": "x" * 10, "padding": "x" * size})
            assert answer.status_code == status, answer.text
        assert answer.json()["message"] == "The body is larger than 16384 bytes."
