"""Accounts, their sandboxes, and the API keys that give access to them."""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Iterable
from datetime import datetime

import msgspec

from rollbook.db import Transaction
from rollbook.errors import AlreadyExists, Invalid, NotFound, Problem

RIGHTS = ("read", "write", "admin")
"""`read` may look, `write` may change data, `admin` may do both and manage the account itself."""

KEY_CHARACTERS = string.ascii_letters + string.digits
KEY_LENGTH = 20
"""Characters after the prefix: 62 ** 20 keys, 119 bits, so the plain hash of a key cannot be reversed."""

NAME_LENGTH_MAX = 100
LABEL_LENGTH_MAX = 100

# An account and its sandbox have the same name, and are two rows that may be on two machines: they are
# grouped, not joined.
_WITH_SANDBOX = """
    SELECT coalesce(sandbox_of, account_id) AS account_id, min(name) AS name,
           max(CASE WHEN sandbox_of IS NOT NULL THEN account_id END) AS sandbox_id,
           max(CASE WHEN sandbox_of IS NULL THEN created_at END) AS created_at
    FROM account
"""


class Account(msgspec.Struct, frozen=True):
    """An account. `sandbox_id` is the account id under which its test keys work."""

    account_id: int
    name: str
    sandbox_id: int
    created_at: datetime


class Key(msgspec.Struct, frozen=True):
    """An API key in the form that can be shown: without the key itself, of which only a hash is stored.

    `account_id` is the sandbox's for a test key. `hint` holds the first characters of the key.
    """

    id: int
    account_id: int
    account: str
    sandbox: bool
    hint: str
    label: str
    rights: str
    created_at: datetime
    revoked_at: datetime | None


class NewKey(msgspec.Struct, frozen=True):
    """A new key. This is the only time that the key itself can be read."""

    key: str
    shown: Key


class Grant(msgspec.Struct, frozen=True):
    """The access that a key gives: an account, and the rights in it."""

    account_id: int
    key_id: int
    rights: str


def create(tx: Transaction, *, name: str) -> Account:
    """Create an account and its sandbox.

    Raises:
        Invalid: the name is empty, too long, or not printable.
        AlreadyExists: the name is taken.
    """
    name = name.strip()
    if not 1 <= len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        raise Invalid(
            [Problem("name", f"An account's name has 1 to {NAME_LENGTH_MAX} printable characters.")]
        )
    tx.exclusively("account names")
    account_id, sandbox_id = tx.new_ids("account", 2)
    created = tx.one(
        int,
        """
        INSERT INTO account (account_id, name, sandbox_of, created_at)
        SELECT :account_id, :name, NULL, :now
        WHERE NOT EXISTS (SELECT 1 FROM account WHERE name = :name AND sandbox_of IS NULL)
        RETURNING account_id
        """,
        account_id=account_id,
        name=name,
        now=tx.now,
    )
    if created is None:
        raise AlreadyExists("account", name)
    tx.run(
        """
        INSERT INTO account (account_id, name, sandbox_of, created_at)
        VALUES (:sandbox_id, :name, :account_id, :now)
        """,
        sandbox_id=sandbox_id,
        name=name,
        account_id=account_id,
        now=tx.now,
    )
    return Account(account_id=account_id, name=name, sandbox_id=sandbox_id, created_at=tx.now)


def all(tx: Transaction) -> list[Account]:
    """Every account, oldest first."""
    return tx.all(
        Account,
        f"{_WITH_SANDBOX} GROUP BY coalesce(sandbox_of, account_id) ORDER BY 1",
    )


def named(tx: Transaction, name: str) -> Account:
    """The account with that name.

    Raises:
        NotFound: there is no account with that name.
    """
    found = tx.one(
        Account,
        f"{_WITH_SANDBOX} WHERE name = :name GROUP BY coalesce(sandbox_of, account_id)",
        name=name.strip(),
    )
    if found is None:
        raise NotFound("account", repr(name))
    return found


def lock(tx: Transaction, account_id: int) -> None:
    """Hold the account until this transaction ends. Transactions that change counted rows or the default list
    of the same account wait here for each other."""
    tx.hold("SELECT account_id FROM account WHERE account_id = :account_id", account_id=account_id)


def create_key(
    tx: Transaction,
    *,
    account: str,
    rights: Iterable[str] = ("read", "write"),
    test: bool = False,
    label: str = "",
) -> NewKey:
    """Make an API key for an account, or for its sandbox.

    Args:
        account: the account's name.
        rights: one or more of `RIGHTS`.
        test: make a `test_` key, which sees only the sandbox.
        label: the purpose of the key, in the owner's words.

    Raises:
        NotFound: there is no account with that name.
        Invalid: a right is unknown, there is no right, or the label is too long.
    """
    chosen = [right for right in RIGHTS if right in set(rights)]
    problems = []
    if not chosen or set(rights) - set(RIGHTS):
        problems.append(Problem("rights", f"A key's rights are one or more of {', '.join(RIGHTS)}."))
    if len(label) > LABEL_LENGTH_MAX or not label.isprintable():
        problems.append(
            Problem("label", f"A key's label has at most {LABEL_LENGTH_MAX} printable characters.")
        )
    if problems:
        raise Invalid(problems)
    owner = named(tx, account)
    account_id = owner.sandbox_id if test else owner.account_id
    secret = "".join(secrets.choice(KEY_CHARACTERS) for _ in range(KEY_LENGTH))
    key = ("test_" if test else "live_") + secret
    shown = Key(
        id=tx.new_ids("api_key", 1)[0],
        account_id=account_id,
        account=owner.name,
        sandbox=test,
        hint=key[:9],
        label=label,
        rights=",".join(chosen),
        created_at=tx.now,
        revoked_at=None,
    )
    tx.run(
        """
        INSERT INTO api_key (account_id, id, key_hash, hint, label, rights, created_at)
        VALUES (:account_id, :id, :key_hash, :hint, :label, :rights, :created_at)
        """,
        account_id=account_id,
        id=shown.id,
        key_hash=key_hash(key),
        hint=shown.hint,
        label=label,
        rights=shown.rights,
        created_at=shown.created_at,
    )
    return NewKey(key, shown)


def keys(tx: Transaction, *, account: str | None = None) -> list[Key]:
    """The keys of one account and its sandbox, or of all accounts, oldest first, including revoked ones.

    Raises:
        NotFound: there is no account with that name.
    """
    if account is not None:
        named(tx, account)
    return tx.all(
        Key,
        f"""
        SELECT api_key.id, api_key.account_id, account.name AS account,
               account.sandbox_of IS NOT NULL AS sandbox, api_key.hint, api_key.label, api_key.rights,
               api_key.created_at, api_key.revoked_at
        FROM api_key JOIN account ON account.account_id = api_key.account_id
        {"WHERE account.name = :account" if account is not None else ""}
        ORDER BY api_key.id
        """,
        **({"account": account.strip()} if account is not None else {}),
    )


def revoke_key(tx: Transaction, *, key_id: int) -> Key:
    """Refuse a key, and every token made from it, from now on. Revoking a key again changes nothing.

    Raises:
        NotFound: there is no key with that id.
    """
    found = next((key for key in keys(tx) if key.id == key_id), None)
    if found is None:
        raise NotFound("key", key_id)
    tx.run(
        """
        UPDATE api_key SET revoked_at = :now
        WHERE account_id = :account_id AND id = :key_id AND revoked_at IS NULL
        """,
        now=tx.now,
        account_id=found.account_id,
        key_id=key_id,
    )
    return msgspec.structs.replace(found, revoked_at=found.revoked_at or tx.now)


def with_keys(tx: Transaction) -> list[int]:
    """The ids of all accounts and sandboxes that have or had a key, in ascending order. On Citus every node
    can answer this."""
    return tx.all(int, "SELECT DISTINCT account_id FROM api_key ORDER BY account_id")


def grant_of_key(tx: Transaction, key: str) -> Grant | None:
    """The access that an API key gives; `None` when the key is unknown or revoked.

    This is the only query without an account, since it finds the account.
    """
    return tx.one(
        Grant,
        """
        SELECT account_id, id AS key_id, rights FROM api_key
        WHERE key_hash = :key_hash AND revoked_at IS NULL
        """,
        key_hash=key_hash(key),
    )


def grant_of_key_id(tx: Transaction, account_id: int, key_id: int) -> Grant | None:
    """The access that the key with that id gives now; `None` when it was revoked."""
    return tx.one(
        Grant,
        """
        SELECT account_id, id AS key_id, rights FROM api_key
        WHERE account_id = :account_id AND id = :key_id AND revoked_at IS NULL
        """,
        account_id=account_id,
        key_id=key_id,
    )


def signing_secret(tx: Transaction) -> str:
    """The secret that signs tokens. It is made on first use and stored in the database.

    It is read first and written only if missing, so that a service can start without a node that writes.
    """
    select = "SELECT value FROM service_secret WHERE name = 'token'"
    if (secret := tx.one(str, select)) is not None:
        return secret
    tx.run(
        """
        INSERT INTO service_secret (name, value) VALUES ('token', :value)
        ON CONFLICT (name) DO NOTHING
        """,
        value=secrets.token_urlsafe(48),
    )
    found = tx.one(str, select)
    assert found is not None
    return found


def create_first(tx: Transaction) -> NewKey | None:
    """In a database without accounts, create the account `default` with a live key that has every right.

    Returns:
        The key, or `None` when there are accounts already.
    """
    tx.exclusively("account names")
    if tx.one(int, "SELECT account_id FROM account LIMIT 1") is not None:
        return None
    create(tx, name="default")
    return create_key(tx, account="default", rights=RIGHTS, label="made at the first start")


def key_hash(key: str) -> str:
    """The hash of a key that is stored: SHA-256, in hexadecimal."""
    return hashlib.sha256(key.encode()).hexdigest()
