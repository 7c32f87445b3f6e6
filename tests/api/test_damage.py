"""A database with pages that cannot be read: nobody is told a half of it, and the service is not ready."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import apsw
import pytest
from click.testing import CliRunner

from rollbook import accounts, contacts, lists
from rollbook.cli import rollbook_command
from rollbook.contacts import NewContact
from rollbook.db import Transaction, open_database
from rollbook.errors import Unavailable
from rollbook.lists import NewList
from tests.cli.test_no_database import USE_ONE, words_of
from tests.conftest import opened
from tests.servers import Postgres, Service, run

PAGE = 4096
SENTENCE = "The database is damaged: parts of it cannot be read."

WAYS = {"zeros": bytes(PAGE), "ones": b"\xff" * PAGE, "letters": b"A stranger's page." * 227 + b"!" * 10}


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with an account, a list and some contacts."""
    path = tmp_path_factory.mktemp("book") / "rollbook.db"
    with opened(f"sqlite:///{path}") as database:
        database.migrate()
        account_id = database.write(accounts.create, name="1").account_id
        database.write(accounts.create_key, account="1", rights=("read",))
        list_id = database.write(lists.create, account_id, NewList("Customers")).id
        for number in range(300):
            database.write(contacts.create, account_id, NewContact(380000000000 + number, (list_id,)))
    return path


def root_of(path: Path, table: str) -> int:
    connection = apsw.Connection(str(path))
    [(page,)] = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchall()
    connection.close()
    assert isinstance(page, int)
    return page


def damaged(book: Path, page: int, way: str, to: Path) -> Path:
    """A copy of the book with a page that is something else."""
    data = bytearray(book.read_bytes())
    data[(page - 1) * PAGE : page * PAGE] = WAYS[way]
    to.mkdir()
    (to / "rollbook.db").write_bytes(data)
    return to / "rollbook.db"


@pytest.mark.parametrize("way", ["ones", "letters"])
def test_a_service_on_damaged_pages_answers_503_and_is_not_ready(
    book: Path, way: str, tmp_path: Path
) -> None:
    path = damaged(book, root_of(book, "contact_list"), way, tmp_path / "damaged")
    url = f"sqlite:///{path}"
    made = run("key", "create", "1", "--json", "--database-url", url)
    key = made.stdout.split('"key":"')[1].split('"')[0]
    service = Service(url)
    with service.client(key) as client:
        assert client.get("/readyz").status_code == 200  # nobody has met it yet
        for answer in (client.get("/api/groups"), client.get("/readyz"), client.get("/api/stoplist")):
            assert answer.status_code == 503
            assert answer.json()["message"].startswith(SENTENCE)
        stop = {"phones": [380000000001], "types": ["sms"]}
        assert client.post("/api/stoplist/attach", json=stop).status_code == 503
        assert client.get("/healthz").status_code == 200
    assert service.stop() == 0
    assert "database disk image is malformed" in service.log()
    assert "Traceback" not in service.log()
    assert "unforeseen" not in service.log()


@pytest.mark.parametrize("way", WAYS)
def test_verify_says_of_every_page_that_it_is_damaged(book: Path, way: str, tmp_path: Path) -> None:
    pages = book.stat().st_size // PAGE
    met = 0
    for page in range(1, pages + 1):
        path = damaged(book, page, way, tmp_path / str(page))
        done = CliRunner().invoke(rollbook_command, ["verify", "--database-url", f"sqlite:///{path}"])
        assert done.exit_code in (0, 1)
        if done.exit_code:
            met += 1
            assert isinstance(done.exception, SystemExit)
            assert done.stderr.count("Error: The database") == 1
    assert met == pages


@pytest.mark.parametrize("path", USE_ONE, ids=" ".join)
def test_every_command_says_it_in_a_sentence(path: tuple[str, ...], book: Path, tmp_path: Path) -> None:
    met = 0
    tables = ["account", "api_key", "contact_list", "contact"]
    for table in tables if path != ("work",) else ["import_job"]:
        damaged_path = damaged(book, root_of(book, table), "ones", tmp_path / table)
        words = [*words_of(path), "--database-url", f"sqlite:///{damaged_path}"]
        done = CliRunner().invoke(rollbook_command, words)
        assert done.exception is None or isinstance(done.exception, SystemExit)
        if SENTENCE in done.stderr + done.stdout:  # `doctor` says it in its table
            met += 1
            assert done.exit_code == 1
    assert met


REPORT = "DO $$ BEGIN RAISE EXCEPTION 'invalid page in block 7' USING ERRCODE = 'data_corrupted'; END $$"


def test_damage_that_a_server_reports_is_told_alike(
    postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.create_database("damaged")
    name = urlsplit(url).path[1:]
    database = open_database(url)
    database.migrate()
    database.read(Transaction.require_sound)
    for work in (database.read, database.write):
        with pytest.raises(Unavailable, match=SENTENCE):
            work(lambda tx: tx.run(REPORT))
    with pytest.raises(Unavailable, match=SENTENCE):
        database.read(Transaction.require_sound)
    assert caplog.text.count(f"The PostgreSQL database {name} is damaged: invalid page in block 7") == 1
    database.close()
