"""Counts of audiences are exact: whatever is put together or taken away, whichever way it is counted."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollbook import accounts, audience, contacts, exports, lists, members, stop_list
from rollbook.accounts import Account
from rollbook.audience import Audience
from rollbook.channels import CHANNELS
from rollbook.contacts import Contact, NewContact
from rollbook.db import Database
from rollbook.errors import Invalid
from rollbook.exports import Export
from rollbook.lists import ContactList, NewList
from tests.length import sized

FIRST_PHONE = 380_000_000_001
LISTS = 5
CONTACTS = 60

some_lists = st.lists(st.integers(0, LISTS - 1), max_size=3, unique=True)
some_channels = st.lists(st.sampled_from([*CHANNELS]), max_size=2, unique=True)


@dataclass
class World:
    """An account as plain sets."""

    db: Database
    account_id: int
    everyone: set[int] = field(default_factory=set)
    members: dict[int, set[int]] = field(default_factory=dict)
    stopped: dict[str, set[int]] = field(default_factory=dict)

    def meant(self, wanted: Audience) -> set[int]:
        """Who an audience is, by the words of its definition."""
        found = set(self.everyone)
        if wanted.lists:
            found &= set[int]().union(*(self.members[id] for id in wanted.lists))
        elif not wanted.all_of:
            found = set(self.everyone)
        for id in wanted.all_of:
            found &= self.members[id]
        for id in wanted.minus:
            found -= self.members[id]
        for channel in wanted.reachable:
            found -= self.stopped[channel]
        if wanted.stopped:
            found &= set[int]().union(*(self.stopped[channel] for channel in wanted.stopped))
        return found

    def count(self, wanted: Audience) -> int:
        return self.db.read(audience.count, self.account_id, wanted)

    def exported(self, wanted: Audience) -> list[int]:
        out = io.BytesIO()
        rows = exports.write(self.db, self.account_id, Export(audience=wanted, columns=("id",)), out)
        head, *ids = out.getvalue().decode().splitlines()
        assert head == "id"
        assert rows == len(ids)
        return [int(id) for id in ids]


def made(db: Database, account_id: int, seed: int) -> World:
    """A world of random sets, some of them empty, some of them everyone; some stops are of no contact."""
    chance = random.Random(seed)
    world = World(db, account_id)
    news = [NewContact(FIRST_PHONE + number) for number in range(CONTACTS)]
    made = [each for each in db.write(contacts.create_many, account_id, news) if isinstance(each, Contact)]
    ids = [each.id for each in made]
    world.everyone = set(ids)
    found = db.write(lists.create_many, account_id, [NewList(f"list {n}") for n in range(LISTS)])
    list_ids = [each.id for each in found if isinstance(each, ContactList)]
    for list_id, share in zip(list_ids, (0.0, 0.05, 0.4, 0.7, 1.0), strict=True):
        chosen = [id for id in ids if chance.random() < share]
        world.members[list_id] = set(chosen)
        if chosen:
            db.write(members.attach, account_id, contact_ids=chosen, list_ids=[list_id])
    phones = [FIRST_PHONE + number for number in range(CONTACTS + 20)]
    id_of = {each.phone: each.id for each in made}
    for channel, share in zip(CHANNELS, (0.3, 0.05, 0.8, 0.0), strict=True):
        stopped = [phone for phone in phones if chance.random() < share]
        if stopped:
            db.write(stop_list.add, account_id, phones=stopped, channels=[channel])
        world.stopped[channel] = {id_of[phone] for phone in stopped if phone in id_of}
    return world


@pytest.mark.sized
@pytest.mark.parametrize("lookup_cost", [0, 1, 8, 1_000_000])
@pytest.mark.parametrize("seed", [1, 2])
def test_any_audience_is_counted_and_exported_exactly(
    db: Database, alice: Account, seed: int, lookup_cost: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether ids are looked up one by one or read from the first to the last."""
    monkeypatch.setattr(audience, "LOOKUP_COST", lookup_cost)
    db.write(lists.create, alice.account_id, NewList("of nobody"))  # ids are not numbers of lists
    world = made(db, alice.account_id, seed)
    ids = [*world.members]

    @settings(
        max_examples=sized(30, 60), deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(some_lists, some_lists, some_lists, some_channels, some_channels)
    def holds(any_of: Any, all_of: Any, minus: Any, reachable: Any, stopped: Any) -> None:
        wanted = Audience(
            lists=tuple(ids[number] for number in any_of),
            all_of=tuple(ids[number] for number in all_of),
            minus=tuple(ids[number] for number in minus),
            reachable=tuple(reachable),
            stopped=tuple(stopped),
        )
        meant = world.meant(wanted)
        assert world.count(wanted) == len(meant)
        assert world.exported(wanted) == sorted(meant)

    holds()


def test_every_audience_of_one_or_two_lists_is_exact(db: Database, alice: Account) -> None:
    world = made(db, alice.account_id, 3)
    ids = [*world.members]
    channels: list[Mapping[str, Any]] = [{}, {"reachable": ("sms",)}, {"reachable": ("sms", "viber")}]
    channels += [{"stopped": ("rcs",)}, {"reachable": ("viber", "rcs"), "stopped": ("sms", "whatsapp")}]
    for more in channels:
        assert world.count(Audience(**more)) == len(world.meant(Audience(**more)))
        for one in ids:
            shapes: list[Mapping[str, Any]] = [{"lists": (one,)}, {"all_of": (one,)}, {"minus": (one,)}]
            for shape in shapes:
                wanted = Audience(**shape, **more)
                assert world.count(wanted) == len(world.meant(wanted)), wanted
        for one, other in itertools.permutations(ids, 2):
            shapes = [
                {"lists": (one, other)},
                {"all_of": (one, other)},
                {"lists": (one,), "minus": (other,)},
                {"minus": (one, other)},
            ]
            for shape in shapes:
                wanted = Audience(**shape, **more)
                assert world.count(wanted) == len(world.meant(wanted)), wanted


@pytest.mark.parametrize(
    "wanted",
    [
        {"lists": "one"},
        {"all_of": "one"},
        {"lists": "one", "reachable": ("sms",)},
        {"lists": "one", "reachable": ("sms", "viber")},
        {"lists": "one", "stopped": ("viber",)},
        {},
    ],
)
def test_what_is_kept_is_not_counted_again(db: Database, alice: Account, wanted: dict[str, Any]) -> None:
    """One look at the lists and one at the account, however many contacts there are."""
    world = made(db, alice.account_id, 4)
    one = [*world.members][3]
    given: dict[str, Any] = {name: (one,) if value == "one" else value for name, value in wanted.items()}
    meant = Audience(**given)
    before = db.statements_run
    assert world.count(meant) == len(world.meant(meant))
    assert db.statements_run - before == 2
    assert db.read(audience.kept, alice.account_id, meant) == len(world.meant(meant))


def test_every_list_and_channel_that_there_is_not_is_named(
    db: Database, alice: Account, bob: Account
) -> None:
    theirs = db.write(lists.create, bob.account_id, NewList("theirs")).id
    own = db.write(lists.create, alice.account_id, NewList("own")).id
    wanted = Audience(lists=(own, theirs), minus=(999_999, 777_777), reachable=("sms", "telex"))
    for look in (audience.count, audience.check, audience.kept, audience.select):
        with pytest.raises(Invalid) as caught:
            db.read(look, alice.account_id, wanted)
        assert [(problem.field, problem.message) for problem in caught.value.problems] == [
            ("reachable", "The reachable must be any of sms, viber, rcs, whatsapp, not 'telex'."),
            ("lists", f"There is no contact list {theirs}."),
            ("minus", "There is no contact list 777777, 999999."),
        ]


def test_a_deleted_list_is_no_list_though_its_members_are_not_removed_yet(
    db: Database, alice: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rollbook.leftovers.CHUNK_ROWS", 1)
    world = made(db, alice.account_id, 5)
    gone = [*world.members][4]
    db.write(lists.delete, alice.account_id, gone)
    with pytest.raises(Invalid, match=f"There is no contact list {gone}"):
        world.count(Audience(lists=(gone,)))
    assert world.count(Audience()) == len(world.everyone)


def test_an_audience_names_a_hundred_lists_at_most(db: Database, alice: Account) -> None:
    wanted = Audience(lists=tuple(range(1, audience.LISTS_MAX + 2)))
    with pytest.raises(Invalid, match="An audience names at most 100 lists"):
        db.read(audience.count, alice.account_id, wanted)


def test_a_hundred_lists_are_one_audience(db: Database, alice: Account) -> None:
    [contact] = db.write(contacts.create_many, alice.account_id, [NewContact(FIRST_PHONE)])
    assert isinstance(contact, Contact)
    found = db.write(lists.create_many, alice.account_id, [NewList(f"list {n}") for n in range(100)])
    ids = tuple(each.id for each in found if isinstance(each, ContactList))
    db.write(members.attach, alice.account_id, contact_ids=[contact.id], list_ids=list(ids))
    assert db.read(audience.count, alice.account_id, Audience(lists=ids)) == 1
    assert db.read(audience.count, alice.account_id, Audience(all_of=ids)) == 1
    assert db.read(audience.count, alice.account_id, Audience(minus=ids)) == 0


def test_nobody_of_another_account_is_counted(db: Database, alice: Account, bob: Account) -> None:
    made(db, alice.account_id, 6)
    assert db.read(audience.count, bob.account_id, Audience()) == 0
    assert db.read(audience.count, bob.account_id, Audience(reachable=("sms",))) == 0
    assert db.read(accounts.all)
