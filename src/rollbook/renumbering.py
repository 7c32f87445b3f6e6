"""Phones that were stored before their numbering plan changed, or before the change was known here
(`phones.changes`). A stop on the old form and one on the new form are stops of one person.

Reading turns old forms into new ones; what is stored is brought there once for each version of the table.
"""

from __future__ import annotations

import msgspec

from rollbook import accounts, contacts, phones, stop_list
from rollbook.channels import names_of
from rollbook.contacts import ContactChange
from rollbook.db import Database, Rows, Transaction
from rollbook.errors import AlreadyExists
from rollbook.phones import changes


class _StoredPhone(msgspec.Struct, frozen=True):
    """A contact or a row of the stop list, and the channels that it is stopped on."""

    id: int
    phone: int
    mask: int


def bring_up_to_date(database: Database) -> None:
    """Bring every account to the present table, each in a transaction of its own; quick when there is nothing
    to do, and safe to be done again."""
    for account_id in database.read(_behind):
        database.write(_renew, account_id)


def _behind(tx: Transaction) -> list[int]:
    sql = "SELECT account_id FROM account WHERE plans_version < :version ORDER BY account_id"
    return tx.all(int, sql, version=changes.VERSION)


def _renew(tx: Transaction, account_id: int) -> None:
    """Stops hold for both forms. A contact gets the new form; where there is one with it, both stay, and a
    stop on the new form holds for both."""
    accounts.lock(tx, account_id)
    stops: dict[int, list[int]] = {}
    for stop in _in_old_form(tx, account_id, "stop_list", "mask"):
        if (new := phones.renewed(stop.phone)) is not None:
            stops.setdefault(stop.mask, []).append(new)
    for mask, renewed in stops.items():
        stop_list.add(tx, account_id, phones=renewed, channels=names_of(mask))
    for contact in _in_old_form(tx, account_id, "contact", "stop_mask"):
        if (new := phones.renewed(contact.phone)) is None:
            continue
        try:
            with tx.part():
                contacts.update(tx, account_id, contact.id, ContactChange(phone=new))
        except AlreadyExists:
            sql = "SELECT mask FROM stop_list WHERE account_id = :account_id AND phone = :phone"
            if stopped := tx.one(int, sql, account_id=account_id, phone=new):
                stop_list.add(tx, account_id, phones=[contact.phone], channels=names_of(stopped))
    tx.run(
        "UPDATE account SET plans_version = :version WHERE account_id = :account_id",
        account_id=account_id,
        version=changes.VERSION,
    )


def _in_old_form(tx: Transaction, account_id: int, table: str, mask: str) -> list[_StoredPhone]:
    ranges = list(changes.old_ranges())
    return tx.all(
        _StoredPhone,
        f"""
        SELECT {table}.id, {table}.phone, {table}.{mask} AS mask
        FROM {tx.rows("old", first="bigint", last="bigint")} CROSS JOIN {table}
        WHERE {table}.account_id = :account_id AND {table}.phone BETWEEN old.first AND old.last
        ORDER BY {table}.phone
        """,
        account_id=account_id,
        old=Rows(first=[first for first, _ in ranges], last=[last for _, last in ranges]),
    )
