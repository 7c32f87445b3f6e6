"""A path or a URL without a database is an error, never an empty book. The commands are looked for, so that new
ones are tried as well."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import apsw
import psycopg
import pytest
from click.testing import CliRunner, Result

from rollbook.cli import rollbook_command
from rollbook.db import migrations, open_database
from tests.cli.test_slips import COMMANDS, arguments
from tests.conftest import opened
from tests.servers import Postgres, Service, run

SETS_UP = {("serve",), ("migrate",), ("account", "create")}
"""Commands that may begin a database."""

USE_ONE = [
    path
    for path, command in COMMANDS.items()
    if path not in SETS_UP and any(param.name == "database_url" for param in command.params)
]

NEEDED = {
    ("export",): ["--all"],
    ("account", "wipe-sandbox"): ["--yes"],
    ("work",): ["--until-idle"],
    ("stops", "add"): ["--channels", "sms"],
    ("stops", "release"): ["--channels", "sms"],
}
"""Flags without which a command does not come as far as the database."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which commands run."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words_of(path: tuple[str, ...]) -> list[str]:
    """A command with all that it needs to come as far as the database."""
    if path[0] == "stops":
        return [*path, "380000000001", *NEEDED[path]]
    return [*path, *arguments(COMMANDS[path]), *NEEDED.get(path, [])]


def refused(path: tuple[str, ...], url: str) -> str:
    """What a command says on that database; it ends with 1."""
    words = [*words_of(path), "--database-url", url]
    if path == ("serve",):
        return serve(url)
    done: Result = CliRunner().invoke(rollbook_command, words)
    assert done.exit_code == 1, done.output
    if path == ("doctor",):
        assert done.stderr == ""
        return done.stdout  # what it finds is its answer, in a table
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    return done.stderr


def serve(url: str, *flags: str) -> str:
    """What `serve` says, which refuses to start."""
    done = run("serve", "--port", "0", "--database-url", url, *flags)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def test_every_command_that_uses_a_database_is_tried() -> None:
    assert {
        ("verify",),
        ("key", "create"),
        ("import",),
        ("export",),
        ("audience",),
        ("imports", "list"),
    } <= set(USE_ONE)


@pytest.mark.parametrize("path", USE_ONE, ids=" ".join)
def test_a_command_on_a_path_without_a_database_says_so_and_makes_nothing(
    path: tuple[str, ...], folder: Path
) -> None:
    assert "There is no database wrong.db." in refused(path, "sqlite:///wrong.db")
    assert "is a volume not mounted?" in refused(path, f"sqlite:///{folder}/not/mounted/rollbook.db")
    (folder / "empty.db").touch()
    assert "The file empty.db is empty" in refused(path, "sqlite:///empty.db")
    assert list(folder.iterdir()) == [folder / "empty.db"]
    assert (folder / "empty.db").read_bytes() == b""


@pytest.mark.parametrize("path", USE_ONE, ids=" ".join)
def test_a_command_on_an_empty_server_database_says_so_and_makes_nothing(
    path: tuple[str, ...], empty: str, folder: Path
) -> None:
    assert "run `rollbook migrate` first" in refused(path, empty)
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def empty(postgres: Postgres) -> Iterator[str]:
    """URL of a database with nothing in it, which stays so."""
    url = postgres.create_database("stays_empty")
    yield url
    database = open_database(url)
    assert database.schema_version() == 0
    assert (
        database.read(lambda tx: tx.all(str, "SELECT relname FROM pg_class WHERE relname = 'account'")) == []
    )
    database.close()


@pytest.mark.parametrize("path", [("verify",), ("migrate",), ("account", "create"), ("serve",)], ids=" ".join)
def test_a_server_without_that_database_is_told_from_one_that_is_away(
    path: tuple[str, ...], postgres: Postgres
) -> None:
    told = refused(path, postgres.url("nowhere"))
    assert "has no database nowhere: is the URL right?" in told
    assert "cannot be used" in refused(path, postgres.url("x") + "&sslmod=require")


@pytest.mark.parametrize("words", [("migrate",), ("account", "create", "shop")], ids=" ".join)
def test_what_sets_up_makes_a_database_in_a_folder_that_is_there(
    words: tuple[str, ...], folder: Path
) -> None:
    command = CliRunner()
    done = command.invoke(rollbook_command, [*words, "--database-url", "sqlite:///new.db"])
    assert done.exit_code == 0, done.output
    assert (folder / "new.db").stat().st_mode & 0o777 == 0o600
    done = command.invoke(rollbook_command, [*words, "--database-url", "sqlite:///no/new.db"])
    assert done.exit_code == 1
    assert "rollbook makes no folders" in done.stderr
    assert list(folder.iterdir()) == [folder / "new.db"]


@pytest.mark.parametrize("left", [".lock", ".spool", "-wal", "-shm"])
def test_where_a_database_was_none_begins(left: str, folder: Path) -> None:
    beside = folder / f"rollbook.db{left}"
    if left == ".spool":
        beside.mkdir()
    else:
        beside.write_bytes(b"of another")
    told = [serve("sqlite:///rollbook.db"), serve("sqlite:///rollbook.db", "--create")]
    told.append(refused(("migrate",), "sqlite:///rollbook.db"))
    for error in told:
        assert f"One was here: {beside} belongs to it. Is a volume not mounted" in error
        assert "move these away first" in error
    assert list(folder.iterdir()) == [beside]


def test_serve_makes_a_database_at_the_default_path_or_when_told(folder: Path) -> None:
    assert "There is no database other.db." in serve("sqlite:///other.db")
    assert "`rollbook serve --create`" in serve("sqlite:///other.db")
    assert "rollbook makes no folders" in serve("sqlite:///no/other.db", "--create")
    assert list(folder.iterdir()) == []
    for service in (Service("sqlite:///rollbook.db", create=False), Service("sqlite:///other.db")):
        assert service.key
        assert service.stop() == 0
    assert {path.name for path in folder.glob("*.db")} == {"rollbook.db", "other.db"}
    again = Service("sqlite:///other.db", create=False)
    assert (again.key, again.stop()) == ("", 0)


def test_an_empty_variable_does_not_mean_the_default_path(folder: Path) -> None:
    done = run("serve", "--port", "0", env={"ROLLBOOK_DATABASE_URL": ""})
    assert done.returncode == 1
    assert "ROLLBOOK_DATABASE_URL is empty: name a database, or unset it." in done.stderr
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("folder", "it is a folder"),
        ("letter.db", "file is not a database"),
        ("letter.db/rollbook.db", "Not a directory"),
        ("pipe", "it is no regular file"),
        ("shop.db", "is the database of another program"),
        ("rails.db", "is the database of another program"),
        ("marked.db", "is the database of another program"),
        ("made.db", "The database made.db is empty: no rollbook has set it up"),
        ("half.db", "is damaged"),
        ("new.db?mode=ro", "SQLite takes no parameters after a ?"),
        (":memory:", "the database must be a file"),
    ],
)
def test_what_is_no_database_of_rollbook_is_left_alone(name: str, what: str, folder: Path) -> None:
    (folder / "folder").mkdir()
    (folder / "letter.db").write_text("Dear Sir or Madam, " * 400)
    os.mkfifo(folder / "pipe")
    for file, sql in (
        ("shop.db", "CREATE TABLE account (id INTEGER)"),
        ("rails.db", "CREATE TABLE schema_migration (version TEXT)"),
        ("marked.db", "PRAGMA application_id = 7"),
        ("made.db", "PRAGMA user_version = 7"),
    ):
        connection = apsw.Connection(str(folder / file))
        connection.execute(sql)
        connection.close()
    with opened(f"sqlite:///{folder}/half.db"):
        CliRunner().invoke(rollbook_command, ["migrate", "--database-url", "sqlite:///half.db"])
    (folder / "half.db").write_bytes((folder / "half.db").read_bytes()[:6000])
    before = contents(folder)
    assert what in refused(("verify",), f"sqlite:///{name}")
    assert what in refused(("serve",), f"sqlite:///{name}")
    if name != "made.db":
        assert what in refused(("migrate",), f"sqlite:///{name}")
    assert contents(folder) == before


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        path.name: path.read_bytes() if path.is_file() else None
        for path in folder.iterdir()
        if path.name not in ("half.db-wal", "half.db-shm")
    }


def test_a_server_database_of_another_program_is_left_alone(postgres: Postgres) -> None:
    url = postgres.create_database("stranger")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE account (id bigint)")
    assert "is the database of another program" in refused(("migrate",), url)
    assert "is the database of another program" in refused(("serve",), url)
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        assert found == [("account",)]
        connection.execute("DROP TABLE account; CREATE TABLE schema_migration (version text)")
    assert "is the database of another program" in refused(("verify",), url)
    assert "is the database of another program" in refused(("migrate",), url)


def test_a_book_made_before_files_were_marked_is_known(folder: Path) -> None:
    with opened("sqlite:///old.db") as database:
        database.migrate()
    connection = apsw.Connection("old.db")
    connection.execute("PRAGMA application_id = 0")
    connection.close()
    done = CliRunner().invoke(rollbook_command, ["verify", "--database-url", "sqlite:///old.db"])
    assert done.exit_code == 0, done.output
    assert (
        f"version {migrations.all_steps()[-1].version}"
        in CliRunner().invoke(rollbook_command, ["migrate", "--database-url", "sqlite:///old.db"]).stdout
    )
