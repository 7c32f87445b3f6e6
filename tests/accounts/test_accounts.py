from __future__ import annotations

from datetime import timedelta

import pytest

from rollbook import accounts, idempotency, lists, sandbox, search
from rollbook.accounts import Account
from rollbook.db import Database, Transaction
from rollbook.errors import AlreadyExists, IdempotencyMismatch, Invalid, NotFound
from rollbook.idempotency import Answer
from rollbook.lists import NewList


def test_an_account_comes_with_a_sandbox(db: Database) -> None:
    made = db.write(accounts.create, name=" acme ")
    assert made.name == "acme"
    assert made.account_id != made.sandbox_id
    assert db.read(accounts.all) == [made]
    assert db.read(accounts.named, "acme") == made
    with pytest.raises(AlreadyExists):
        db.write(accounts.create, name="acme")
    with pytest.raises(NotFound):
        db.read(accounts.named, "nobody")


def test_each_account_is_told_with_its_own_sandbox(db: Database) -> None:
    made = [db.write(accounts.create, name=name) for name in ("zoe", "adam", "mia")]
    assert db.read(accounts.all) == made
    assert [db.read(accounts.named, account.name) for account in made] == made


def test_the_secret_that_signs_tokens_is_written_once(db: Database) -> None:
    secret = db.write(accounts.signing_secret)
    assert len(secret) > 40
    before = db.statements_run
    assert db.write(accounts.signing_secret) == secret
    assert db.statements_run - before == 1
    assert db.read(accounts.signing_secret) == secret  # a read may not write


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\nb", "a\0b"])
def test_a_bad_name_is_refused(db: Database, name: str) -> None:
    with pytest.raises(Invalid):
        db.write(accounts.create, name=name)
    assert db.read(accounts.all) == []


def test_of_a_key_only_a_hash_is_kept(db: Database, alice: Account) -> None:
    made = db.write(accounts.create_key, account="alice", rights=["write"], label="shop")
    assert len(made.key) == 25
    assert made.key.startswith(made.shown.hint)
    assert db.read(accounts.keys, account="alice") == [made.shown]
    stored = db.read(lambda tx: tx.all(str, "SELECT key_hash || hint || label || rights FROM api_key"))
    assert made.key[9:] not in "".join(stored)
    grant = db.read(accounts.grant_of_key, made.key)
    assert grant is not None
    assert (grant.account_id, grant.rights) == (alice.account_id, "write")


def test_a_test_key_opens_the_sandbox(db: Database, alice: Account) -> None:
    made = db.write(accounts.create_key, account="alice", test=True)
    assert made.key.startswith("test_")
    grant = db.read(accounts.grant_of_key, made.key)
    assert grant is not None
    assert grant.account_id == alice.sandbox_id
    assert [key.sandbox for key in db.read(accounts.keys, account="alice")] == [True]


def test_a_revoked_key_opens_nothing(db: Database, alice: Account) -> None:
    made = db.write(accounts.create_key, account="alice")
    revoked = db.write(accounts.revoke_key, key_id=made.shown.id)
    assert revoked.revoked_at is not None
    assert db.read(accounts.grant_of_key, made.key) is None
    assert db.read(accounts.grant_of_key_id, alice.account_id, made.shown.id) is None
    assert db.write(accounts.revoke_key, key_id=made.shown.id).revoked_at == revoked.revoked_at
    with pytest.raises(NotFound):
        db.write(accounts.revoke_key, key_id=999)


@pytest.mark.parametrize(
    ("rights", "label"), [([], ""), (["fly"], ""), (["read", "fly"], ""), (["read"], "x" * 101)]
)
def test_a_bad_key_is_refused(db: Database, alice: Account, rights: list[str], label: str) -> None:
    with pytest.raises(Invalid):
        db.write(accounts.create_key, account="alice", rights=rights, label=label)
    assert db.read(accounts.keys) == []


def test_keys_of_an_unknown_account_are_not_found(db: Database) -> None:
    with pytest.raises(NotFound):
        db.read(accounts.keys, account="nobody")
    with pytest.raises(NotFound):
        db.write(accounts.create_key, account="nobody")


def test_the_first_start_makes_one_account_once(db: Database) -> None:
    first = db.write(accounts.create_first)
    assert first is not None
    assert first.key.startswith("live_")
    assert db.write(accounts.create_first) is None
    assert [account.name for account in db.read(accounts.all)] == ["default"]


def test_the_signing_secret_stays_the_same(db: Database) -> None:
    assert db.write(accounts.signing_secret) == db.write(accounts.signing_secret)
    assert len(db.write(accounts.signing_secret)) >= 64


def test_wiping_the_sandbox_leaves_live_data(db: Database, alice: Account) -> None:
    for account_id in (alice.account_id, alice.sandbox_id):
        db.write(lists.create, account_id, NewList("Customers"))
    assert db.write(sandbox.wipe, name="alice") == 1
    assert db.read(lists.find, alice.account_id, search.Search()).total == 1
    assert db.read(lists.find, alice.sandbox_id, search.Search()).total == 0


def test_every_table_with_data_of_accounts_is_wiped(db: Database) -> None:
    """A table that a later migration adds must be wiped with the sandbox, or be named here."""
    if db.engine == "sqlite":
        sql = "SELECT m.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c ON c.name = 'account_id' WHERE m.type = 'table'"
    else:
        sql = "SELECT table_name FROM information_schema.columns WHERE column_name = 'account_id' AND table_schema = 'public'"
    found = set(db.read(lambda tx: tx.all(str, sql)))
    assert found - {"account", "api_key"} == set(sandbox.TABLES)


DAY = timedelta(hours=24)


def answer(
    db: Database, account_id: int, key: str, fingerprint: str = "f", keep_for: timedelta = DAY
) -> Answer:
    def perform(tx: Transaction) -> Answer:
        return Answer(201, f'{{"n":{tx.new_ids("n", 1)[0]}}}')

    return db.write(
        idempotency.once, account_id, key=key, fingerprint=fingerprint, keep_for=keep_for, perform=perform
    )


def age(db: Database, hours: int) -> None:
    db.write(lambda tx: tx.run("UPDATE idempotent_answer SET created_at = created_at - :s", s=hours * 3600))


def test_an_answer_is_kept_for_its_time(db: Database, alice: Account, bob: Account) -> None:
    first = answer(db, alice.account_id, "k")
    age(db, 23)
    again = answer(db, alice.account_id, "k")
    assert (again.body, again.replayed, first.replayed) == (first.body, True, False)
    assert answer(db, bob.account_id, "k").body != first.body
    with pytest.raises(IdempotencyMismatch):
        answer(db, alice.account_id, "k", "another")
    age(db, 2)
    assert answer(db, alice.account_id, "k", "another").body != first.body
    assert answer(db, alice.account_id, "k", "another").replayed


def test_old_answers_are_removed_a_few_at_a_time(db: Database, alice: Account) -> None:
    for number in range(130):
        answer(db, alice.account_id, f"k{number}")
    age(db, 25)
    count = "SELECT count(*) FROM idempotent_answer"
    answer(db, alice.account_id, "new")
    assert db.read(lambda tx: tx.one(int, count)) == 131 - idempotency.PURGED_AT_ONCE_MAX
    answer(db, alice.account_id, "newer")
    assert db.read(lambda tx: tx.one(int, count)) == 2
