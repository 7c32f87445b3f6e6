"""The command `rollbook`, run as a process on both engines."""

from __future__ import annotations

import json
from typing import Any

import pytest

import rollbook
from tests.conftest import with_account
from tests.servers import run


def told(url: str, *arguments: str) -> Any:
    """What a command prints as JSON."""
    done = run(*arguments, "--json", "--database-url", url)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_accounts_and_keys_from_the_command_line(url: str) -> None:
    made = told(url, "account", "create", "acme")
    assert set(made) == {"account_id", "name", "sandbox_id", "created_at"}
    assert told(url, "account", "list") == [made]
    key = told(url, "key", "create", "acme", "--right", "read", "--label", "reports")
    assert key["key"].startswith("live_")
    assert (key["account"], key["rights"], key["label"], key["sandbox"]) == (
        "acme",
        ["read"],
        "reports",
        False,
    )
    test_key = told(url, "key", "create", "acme", "--test")
    assert test_key["key"].startswith("test_")
    assert test_key["rights"] == ["read", "write"]
    listed = told(url, "key", "list", "acme")
    assert [row["id"] for row in listed] == [key["id"], test_key["id"]]
    assert key["key"] not in json.dumps(listed)
    assert told(url, "key", "list") == listed
    revoked = told(url, "key", "revoke", str(key["id"]))
    assert revoked["revoked_at"]
    assert told(url, "key", "list")[0]["revoked_at"] == revoked["revoked_at"]
    assert told(url, "account", "wipe-sandbox", "acme", "--yes") == {"lists_deleted": 0}


def test_the_same_for_people(new_url: str) -> None:
    def say(*arguments: str) -> str:
        done = run(*arguments, env={"ROLLBOOK_DATABASE_URL": new_url})
        assert done.returncode == 0, done.stderr
        return done.stdout

    applied = say("migrate").splitlines()
    assert "Applied 0003_imports." in applied
    assert applied[-1].startswith("The schema is at version")
    assert say("migrate").startswith("The schema is at version")
    assert "Created account" in say("account", "create", "Acme & Co")
    key = say("key", "create", "Acme & Co").strip()
    assert len(key) == 25
    table = say("key", "list")
    assert table.splitlines()[0].split() == [
        "ID",
        "ACCOUNT",
        "KEY",
        "RIGHTS",
        "LABEL",
        "CREATED",
        "(UTC)",
        "REVOKED",
    ]
    assert f"{key[:9]}..." in table
    assert key not in table
    assert "Acme & Co" in say("account", "list")
    assert "Revoked key 1" in say("key", "revoke", "1")
    assert "Deleted 0 contact lists" in say("account", "wipe-sandbox", "Acme & Co", "--yes")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["key", "create", "nobody"], 1, "There is no account 'nobody'."),
        (["key", "list", "nobody"], 1, "There is no account 'nobody'."),
        (["key", "revoke", "5"], 1, "There is no key 5."),
        (["key", "revoke", "five"], 2, "'five' is not a valid integer"),
        (["key", "create", "acme", "--right", "fly"], 2, "'fly' is not one of 'read', 'write', 'admin'"),
        (["account", "create", ""], 1, "An account's name has 1 to 100 printable characters."),
        (["account", "create", "acme"], 1, "There is already an account 'acme'."),
        (["account", "wipe-sandbox", "acme"], 1, "Delete everything in the sandbox of 'acme'?"),
        (["fly"], 2, "No such command 'fly'"),
    ],
)
def test_a_mistake_is_a_sentence_and_a_status(
    url: str, arguments: list[str], status: int, message: str
) -> None:
    with_account(url, "acme")
    done = run(*arguments, *(["--database-url", url] if len(arguments) > 1 else []))
    assert done.returncode == status
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_version_and_help() -> None:
    assert run("--version").stdout.strip() == f"rollbook, version {rollbook.__version__}"
    assert "serve" in run("-h").stdout
    assert "ROLLBOOK_PORT" in run("serve", "--help").stdout


def test_on_a_server_the_first_start_makes_no_account(postgres: Any) -> None:
    """Whoever runs a PostgreSQL server decides who may use it."""
    from tests.servers import Service

    url = postgres.create_database("no_account")
    service = Service(url)
    assert "rollbook account create" in service.banner
    assert service.stop() == 0
    assert told(url, "account", "list") == []
