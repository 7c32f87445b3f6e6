"""What tests of imports share: files that come in, and the book as it is afterwards."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from rollbook import imports, verify
from rollbook.accounts import Account
from rollbook.counts import ACCOUNT_COUNTS, LIST_COUNTS
from rollbook.db import Database, Transaction
from rollbook.imports import Import
from rollbook.imports.spec import ImportSpec
from rollbook.imports.spool import Spool
from rollbook.imports.worker import Worker
from tests.calls import PHONE

_numbers = itertools.count(1)


class Desk:
    """Where files come in for one account.

    Args:
        folder: for the spool and the files.
    """

    def __init__(self, db: Database, account: Account, folder: Path) -> None:
        self.db = db
        self.account_id = account.account_id
        self.folder = folder
        self.spool = Spool(folder / "spool")

    def file(self, content: str | bytes, name: str = "contacts.csv") -> Path:
        """A new file."""
        path = self.folder / f"{next(_numbers)}-{name}"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def ask(self, content: str | bytes | Path, name: str = "contacts.csv", **spec: Any) -> Import:
        """Ask for an import; phones that are possible go in unless the spec says otherwise."""
        path = content if isinstance(content, Path) else self.file(content, name)
        wanted = ImportSpec(**{"phone_check": "possible", **spec})
        return self.db.write(
            imports.begin,
            self.account_id,
            spec=wanted,
            source=path.name,
            size_bytes=path.stat().st_size,
            put=lambda folder: self.spool.point(folder, path),
        )

    def work(self, import_: Import, watch: Callable[[Import], None] = lambda import_: None) -> Import:
        """Work on an import to its end."""
        return Worker(self.db, self.spool, watch=watch).run(self.account_id, import_.id)

    def imported(self, content: str | bytes | Path, name: str = "contacts.csv", **spec: Any) -> Import:
        """Import a file."""
        return self.work(self.ask(content, name, **spec))

    def done(self, content: str | bytes | Path, name: str = "contacts.csv", **spec: Any) -> Import:
        """Import a file, which must work."""
        import_ = self.imported(content, name, **spec)
        assert import_.state == "done", import_.error
        return import_

    def undone(self, import_: Import) -> Import:
        """Undo an import."""
        asked = self.db.write(imports.request_undo, self.account_id, import_.id)
        return asked if asked.ended else self.work(asked)

    def rejects(self, import_: Import) -> str:
        """The CSV of the rejected rows."""
        path = self.spool.rejects(import_.folder)
        return path.read_text() if path else ""

    def list_id(self, name: str = "Customers") -> int:
        """The id of a list."""
        found = self.db.read(
            lambda tx: tx.one(
                int,
                "SELECT id FROM contact_list WHERE account_id = :account_id AND name = :name",
                account_id=self.account_id,
                name=name,
            )
        )
        assert found is not None
        return found

    def book(self) -> dict[str, Any]:
        """Everything that the account has, without ids and moments."""
        return self.db.read(_book, self.account_id)

    def counts(self) -> dict[str, Any]:
        """Every count that is kept, by list."""
        return self.db.read(_counts, self.account_id)

    def drift(self) -> list[verify.Drift]:
        """What a recount finds wrong."""
        return self.db.read(verify.recount, self.account_id)


def csv_of(numbers: range | list[int], head: str = "phone", row: Callable[[int], str] | None = None) -> str:
    """A CSV of the fictional phones of those numbers."""
    return "\n".join([head, *((row or phone)(number) for number in numbers)]) + "\n"


def phone(number: int) -> str:
    """The fictional phone of a number, in E.164."""
    return f"+{PHONE + number}"


def _book(tx: Transaction, account_id: int) -> dict[str, Any]:
    contacts = tx.all(
        _Contact,
        "SELECT id, phone, stop_mask FROM contact WHERE account_id = :account_id ORDER BY phone",
        account_id=account_id,
    )
    phones = {row.id: row.phone for row in contacts}
    members = tx.all(
        _Member,
        """
        SELECT contact_list.name, membership.contact_id FROM contact_list JOIN membership
        ON membership.account_id = contact_list.account_id AND membership.list_id = contact_list.id
        WHERE contact_list.account_id = :account_id
        """,
        account_id=account_id,
    )
    values = tx.all(
        _Value,
        """
        SELECT contact_field.name, field_value.contact_id, field_value.value, field_value.search_key
        FROM contact_field JOIN field_value
        ON field_value.account_id = contact_field.account_id AND field_value.field_id = contact_field.id
        WHERE contact_field.account_id = :account_id
        """,
        account_id=account_id,
    )
    stops = tx.all(
        _Stop, "SELECT phone, mask FROM stop_list WHERE account_id = :account_id", account_id=account_id
    )
    return {
        "contacts": {row.phone: row.stop_mask for row in contacts},
        "members": sorted((row.name, phones[row.contact_id]) for row in members),
        "values": sorted((row.name, phones[row.contact_id], row.value, row.search_key) for row in values),
        "stops": {row.phone: row.mask for row in stops},
    }


class _Contact(msgspec.Struct):
    id: int
    phone: int
    stop_mask: int


class _Member(msgspec.Struct):
    name: str
    contact_id: int


class _Value(msgspec.Struct):
    name: str
    contact_id: int
    value: str
    search_key: str


class _Stop(msgspec.Struct):
    phone: int
    mask: int


class _Counted(msgspec.Struct):
    name: str
    items: int
    stop_list_count: int
    sms_stopped: int
    viber_stopped: int
    rcs_stopped: int
    whatsapp_stopped: int


class _Account(msgspec.Struct):
    contacts: int
    stops: int
    sms_stops: int
    viber_stops: int
    rcs_stops: int
    whatsapp_stops: int


def _counts(tx: Transaction, account_id: int) -> dict[str, Any]:
    rows = tx.all(
        _Counted,
        f"SELECT name, {', '.join(LIST_COUNTS)} FROM contact_list WHERE account_id = :account_id",
        account_id=account_id,
    )
    account = tx.one(
        _Account,
        f"SELECT {', '.join(ACCOUNT_COUNTS)} FROM account WHERE account_id = :account_id",
        account_id=account_id,
    )
    return {"": account, **{row.name: row for row in rows}}
