"""Every `console` block of the docs is run: each page in a shell of its own, beside a service of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import psycopg
import pytest
import sqlglot
import xlsxwriter

from tests import calls
from tests.docs.generate import ROOT
from tests.docs.sessions import Command, Outcome, Session, commands, lies
from tests.servers import Postgres, Service

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
]
ELSEWHERE = {"install.md": ROOT / "tests" / "package" / "test_installed.py"}
"""Pages whose sessions need an environment of their own, and the tests that run them there."""

WITH_COMMANDS = [page for page in PAGES if commands(page.read_text("utf-8")) and page.name not in ELSEWHERE]

FENCES = {"", "console", "ini", "json", "nginx", "python", "sh", "sql"}
"""What blocks of code are marked with. Sessions are `console`; `sh` is what needs root, `sql` a cluster."""


def customers(folder: Path, api: httpx.Client) -> None:
    """Files of a shop: its customers, and opt-outs of another system."""
    rows = [
        "Mobile,City,Notes",
        "(201) 555-0101,London,",
        "(201) 555-0102,Leeds,called twice",
        "+1 201 555 0103,Bath,",
        "(201) 555-0102,York,moved",
        "555-0104,Dover,",
    ]
    (folder / "customers.csv").write_text("".join(f"{row}\n" for row in rows), "utf-8")
    workbooks = {
        "customers.xlsx": [["Phone", "Town"], ["+1 201 555 0105", "Leeds"]],
        "optouts.xlsx": [["Phone"], ["+1 201 555 0106"]],
    }
    for name, cells in workbooks.items():
        with xlsxwriter.Workbook(folder / name) as workbook:
            sheet = workbook.add_worksheet()
            for number, row in enumerate(cells):
                sheet.write_row(number, 0, row)


def customers_and_city(folder: Path, api: httpx.Client) -> None:
    """The same, with a field for the city, and one of the customers stopped."""
    customers(folder, api)
    calls.made_field(api, "City")
    calls.made(api, "/api/stoplist/attach", {"phones": [12015550103], "types": ["sms"]}, 200)


def three_lists(folder: Path, api: httpx.Client) -> None:
    """Customers, Newsletter and Staff, with members in several of them, and stops."""
    for name, numbers in {"Customers": (1, 2, 3, 4), "Newsletter": (4, 5, 6), "Staff": (6,)}.items():
        list_id = calls.made_list(api, name)["id"]
        phones = [calls.PHONE + number for number in numbers]
        calls.made(api, f"/api/groups/{list_id}/contacts", {"phones": phones}, 200)
    calls.stopped(api, 2, types=("viber",))


GIVEN: Mapping[str, Callable[[Path, httpx.Client], None]] = {
    "README.md": customers,
    "import.md": customers_and_city,
    "numbers.md": customers,
    "export.md": three_lists,
    "stop-list.md": three_lists,
}
"""What readers of a page have before they begin."""


@pytest.fixture
def session(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Session]:
    """A shell in a fresh folder, with a service that was just started there, and what the page takes as given."""
    folder = tmp_path / "clone"
    folder.mkdir()
    text = page.read_text("utf-8")
    postgres: Postgres | None = request.getfixturevalue("postgres") if "createdb" in text else None
    service = Service(f"sqlite:///{folder}/rollbook.db", "--spool-dir", f"{folder}/rollbook.db.spool")
    if page.name in GIVEN:
        with service.client() as api:
            GIVEN[page.name](folder, api)
    yield Session(folder, service, postgres)
    service.stop()
    if postgres is not None:
        for name in ("rollbook", "rollbook_restored"):
            postgres.drop_database(name)
        with psycopg.connect(postgres.url(), autocommit=True) as connection:
            connection.execute("DROP ROLE IF EXISTS rollbook")


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_every_command_of_a_page_does_what_the_page_says(page: Path, session: Session) -> None:
    shown = commands(page.read_text("utf-8"))
    found = lies(shown, session.run(shown))
    assert not found, "\n\n".join([f"{page.name}: {len(found)} of {len(shown)} commands", *found])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_are_in_blocks_that_are_run(page: Path) -> None:
    text = page.read_text("utf-8")
    blocks = re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert {kind for kind, _ in blocks} <= FENCES
    for kind, block in blocks:
        assert kind != "sh" or page.name in ELSEWHERE, "a block that nothing runs"
        assert kind == "console" or not re.search(r"^\$ ", block, re.MULTILINE), block
    assert len(commands(text)) == len(re.findall(r"^\$ ", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_statements_of_a_cluster_can_be_read(page: Path) -> None:
    blocks = re.findall(r"^ *```sql\n(.*?)^ *```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    for block in blocks:
        sql = re.sub(r"^ *\\\w+ .*$", "", block, flags=re.MULTILINE)  # a command of psql
        assert sqlglot.parse(sql, dialect="postgres", error_level=sqlglot.ErrorLevel.RAISE)


@pytest.mark.parametrize(
    ("printed", "outcome", "wrong"),
    [
        (["4", "..."], Outcome(0, ["4"]), False),
        (["4", "...", "6"], Outcome(0, ["4", "5", "5", "6"]), False),
        (["4"], Outcome(0, ["5"]), True),
        (["4"], Outcome(0, ["4", "5"]), True),
        (["made 2026-01-01 10:00:00"], Outcome(0, ["made 2027-12-31 23:59:59"]), False),
        (["made today"], Outcome(1, ["made today"]), True),
        (["Error: No."], Outcome(1, ["Error: No."]), False),
        ([], Outcome(0, ["anything"]), False),
        ([], Outcome(1, []), True),
        ([], Outcome(0, ['{"message":"No."}', "HTTP 422"]), True),
    ],
)
def test_what_a_page_shows_is_compared_with_what_was_printed(
    printed: list[str], outcome: Outcome, wrong: bool
) -> None:
    assert bool(lies([Command(1, "true", printed)], [outcome])) == wrong


def test_pages_that_are_run_elsewhere_are_run_there() -> None:
    for name, tests in ELSEWHERE.items():
        assert f'"{name}"' in tests.read_text("utf-8")


def test_blocks_are_read_as_a_shell_reads_them() -> None:
    page = "```console\n$ first \\\n    --flag\n$ second\nprinted\n\nmore\n```\n```json\n$ none\n```\n"
    assert commands(page) == [
        Command(2, "first \\\n    --flag", []),
        Command(4, "second", ["printed", "", "more"]),
    ]
