"""Audiences: the contacts of combined lists, without other lists, and by their stops; counted or selected.

Counting is exact. If stored counts give the answer, nothing is counted again; otherwise the form of the query
that reads least is used (docs/decisions/0022).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from rollbook import channels, lists
from rollbook.channels import CHANNELS, COUNTED, mask_of, stopped
from rollbook.counts import ACCOUNT_COUNTS, LIST_COUNTS
from rollbook.db import Transaction
from rollbook.errors import Invalid, Problem, listed

LISTS_MAX = 100
"""An audience names at most this many lists."""

LOOKUP_COST = 8
"""The cost of looking up one id in a set, in units of reading the next id of a sequential scan: 0.45 us
against 0.06 us on SQLite, 0.8 us against 0.1 us on PostgreSQL."""


class Audience(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The contacts that are in at least one of `lists`, in all of `all_of`, and in none of `minus`. If
    `lists` and `all_of` are empty, it begins with the whole book.

    Args:
        lists, all_of, minus: ids of lists.
        reachable: only contacts that are not stopped on any of these channels.
        stopped: only contacts that are stopped on at least one of these channels.
    """

    lists: tuple[int, ...] = ()
    all_of: tuple[int, ...] = ()
    minus: tuple[int, ...] = ()
    reachable: tuple[str, ...] = ()
    stopped: tuple[str, ...] = ()

    @property
    def list_ids(self) -> set[int]:
        """The ids of all lists that the audience names."""
        return {*self.lists, *self.all_of, *self.minus}


class Selection(NamedTuple):
    """The rows of an audience, for `Transaction.csv`.

    Args:
        rows: a SELECT of `id`, `phone`, `stop_mask` and `created_at`.
        where: an SQL condition on these rows.
    """

    rows: str
    where: str
    params: Mapping[str, object]


class _Set(NamedTuple):
    """A set of contacts.

    Args:
        sql: a SELECT of their `id`s that are above `:after`.
        size: the number of contacts, or an upper bound of it.
        exact: whether `size` is the number itself.
    """

    sql: str
    size: int
    exact: bool = True


_EVERYONE = (
    "SELECT contact.id AS id FROM contact WHERE contact.account_id = :account_id AND contact.id > :after"
)
"""The whole book."""


@dataclass(frozen=True)
class _Formula:
    """The contacts that are in one of the sets of `any_of` (if it has any), in all sets of `all_of`, and in
    no set of `none_of`."""

    any_of: tuple[_Set, ...] = ()
    all_of: tuple[_Set, ...] = ()
    none_of: tuple[_Set, ...] = ()

    @property
    def sets(self) -> tuple[_Set, ...]:
        return (*self.any_of, *self.all_of, *self.none_of)

    @property
    def of_everyone(self) -> bool:
        """Whether the formula begins with the whole book."""
        return any(each.sql == _EVERYONE for each in self.all_of)

    @property
    def most(self) -> int:
        """An upper bound of the number of contacts that meet the formula."""
        sizes = [each.size for each in self.all_of]
        return min([*sizes, _total(self.any_of)] if self.any_of else sizes)

    @property
    def few(self) -> bool:
        """Whether looking up its candidates one by one costs less than reading all of its sets."""
        if not all(each.exact for each in self.sets):
            return True  # no index has the stopped contacts in the order of their ids
        return self.most * LOOKUP_COST * max(len(self.sets) - 1, 1) < _total(self.sets)


class _AccountCounts(msgspec.Struct, frozen=True):
    contacts: int
    stops: int
    sms_stops: int
    viber_stops: int
    rcs_stops: int
    whatsapp_stops: int


@dataclass(frozen=True)
class _Sources:
    """The sources of an audience: its lists and the account, with their counts, and the sets of contacts."""

    lists: Mapping[int, lists.Stats]
    account: _AccountCounts
    params: Mapping[str, object]

    @property
    def everyone(self) -> _Set:
        """The whole book."""
        return _Set(_EVERYONE, self.account.contacts)

    def members(self, list_ids: Iterable[int]) -> tuple[_Set, ...]:
        """The contacts of lists, smallest first."""
        sql = """
            SELECT membership.contact_id AS id FROM membership
            WHERE membership.account_id = :account_id AND membership.list_id = :list_{}
              AND membership.contact_id > :after
        """
        sets = [_Set(sql.format(id), self.lists[id].items) for id in dict.fromkeys(list_ids)]
        return tuple(sorted(sets, key=lambda each: each.size))

    def stopped(self, channels: Sequence[str]) -> _Set:
        """The contacts that are stopped on at least one of the channels."""
        on_any = " OR ".join(stopped(channel, "stop_list.mask") for channel in channels)
        sql = f"""
            SELECT contact.id AS id FROM stop_list CROSS JOIN contact
            WHERE stop_list.account_id = :account_id AND ({on_any})
              AND contact.account_id = :account_id AND contact.phone = stop_list.phone
              AND contact.id > :after
        """
        size = sum(getattr(self.account, f"{channel}_stops") for channel in channels)
        return _Set(sql, min(size, self.account.stops), exact=False)


def count(tx: Transaction, account_id: int, audience: Audience) -> int:
    """The exact number of contacts in an audience.

    Raises:
        Invalid: naming every list that the account does not have, and every channel that does not exist.
    """
    sources = _sources(tx, account_id, audience)
    if (ready := _kept(sources, audience)) is not None:
        return ready
    counting = _Counting(tx, sources)
    formula = _formula(sources, audience)
    if not audience.reachable and not audience.stopped:
        return counting.of(formula)
    named = (audience.reachable, audience.stopped)
    if formula.most <= sum(sources.stopped(channels).size for channels in named if channels):
        return counting.one_by_one(formula, _where(audience, "contact"))
    if audience.stopped:
        formula = _with(formula, sources.stopped(audience.stopped))
    if not audience.reachable:
        return counting.of(formula)
    return counting.of(formula) - counting.of(_with(formula, sources.stopped(audience.reachable)))


def kept(tx: Transaction, account_id: int, audience: Audience) -> int | None:
    """The number of contacts in an audience if stored counts give it, else `None`.

    Raises:
        Invalid: as `count`.
    """
    return _kept(_sources(tx, account_id, audience), audience)


def check(tx: Transaction, account_id: int, audience: Audience) -> None:
    """Check that all lists and channels of an audience exist.

    Raises:
        Invalid: as `count`.
    """
    _sources(tx, account_id, audience)


def select(tx: Transaction, account_id: int, audience: Audience) -> Selection:
    """Select the contacts of an audience in the order of their ids, and prepare the transaction for reading
    them.

    Raises:
        Invalid: as `count`.
    """
    sources = _sources(tx, account_id, audience)
    formula = _formula(sources, audience)
    columns = "contact.id, contact.phone, contact.stop_mask, contact.created_at"
    if formula.most * LOOKUP_COST >= sources.account.contacts:
        tx.read_whole_tables(joined=True)
    if formula.of_everyone and not formula.none_of:
        rows = f"""
            SELECT {columns} FROM contact WHERE contact.account_id = :account_id AND contact.id > :after
            {tx.in_pieces("contact.id")}
        """
    else:
        rows = f"""
            SELECT {columns} FROM ({_ids(tx, formula)}) AS chosen CROSS JOIN contact
            WHERE contact.account_id = :account_id AND contact.id = chosen.id
        """
    return Selection(rows, _where(audience, "source"), sources.params)


class _Counting:
    """Counts formulas in one transaction."""

    def __init__(self, tx: Transaction, sources: _Sources) -> None:
        self._tx = tx
        self._params = {**sources.params, "after": 0, "most": -1}

    def of(self, formula: _Formula) -> int:
        """The number of contacts that meet a formula."""
        if len(formula.sets) == 1 and formula.sets[0].exact:
            return formula.sets[0].size
        if formula.none_of and not formula.any_of:
            # The whole book minus the contacts in any of the other sets.
            rest = _Formula(any_of=formula.none_of, all_of=formula.all_of)
            if formula.of_everyone:
                return formula.most - self.of(_Formula(any_of=formula.none_of))
            if _total(formula.none_of) * LOOKUP_COST < formula.most:
                return self.of(_Formula(all_of=formula.all_of)) - self.of(rest)
        if len(formula.any_of) > 1 and len(formula.sets) == len(formula.any_of):
            # All of the largest set, plus the contacts of the others that are not in it.
            *others, largest = formula.any_of
            if largest.exact and _total(others) * LOOKUP_COST < largest.size:
                return largest.size + self.of(_Formula(any_of=tuple(others), none_of=(largest,)))
        return self._one(formula, f"SELECT count(*) FROM ({_ids(self._tx, formula)}) AS chosen")

    def one_by_one(self, formula: _Formula, where: str) -> int:
        """The number of contacts that meet a formula and a condition on the contact itself."""
        if formula.of_everyone and not formula.none_of:
            sql = f"SELECT count(*) FROM contact WHERE contact.account_id = :account_id AND {where}"
            return self._one(formula, sql)
        return self._one(
            formula,
            f"""
            SELECT count(*) FROM ({_ids(self._tx, formula)}) AS chosen CROSS JOIN contact
            WHERE contact.account_id = :account_id AND contact.id = chosen.id AND {where}
            """,
        )

    def _one(self, formula: _Formula, sql: str) -> int:
        if formula.few:
            self._tx.look_rows_up()
        else:
            self._tx.read_whole_tables(joined=True)
        found = self._tx.one(int, sql, **self._params)
        assert found is not None
        return found


def _sources(tx: Transaction, account_id: int, audience: Audience) -> _Sources:
    """The stored counts of everything that an audience names; see `count` for errors."""
    problems = []
    for name in ("reachable", "stopped"):
        try:
            channels.parse(getattr(audience, name) or CHANNELS, called=name)
        except ValueError as error:
            problems.append(Problem(name, str(error)))
    wanted = audience.list_ids
    if len(wanted) > LISTS_MAX:
        raise Invalid([*problems, Problem("lists", f"An audience names at most {LISTS_MAX} lists.")])
    found = tx.all(
        lists.Stats,
        f"""
        SELECT id, {", ".join(LIST_COUNTS)} FROM contact_list
        WHERE account_id = :account_id AND {tx.any_of("id", "ids")}
        """,
        account_id=account_id,
        ids=sorted(wanted),
    )
    stats = {each.id: each for each in found}
    problems += [
        Problem(name, f"There is no contact list {listed(missing)}.")
        for name in ("lists", "all_of", "minus")
        if (missing := sorted({id for id in getattr(audience, name) if id not in stats}))
    ]
    if problems:
        raise Invalid(problems)
    account = tx.one(
        _AccountCounts,
        f"SELECT {', '.join(ACCOUNT_COUNTS)} FROM account WHERE account_id = :account_id",
        account_id=account_id,
    )
    assert account is not None
    params = {"account_id": account_id, **{f"list_{id}": id for id in stats}}
    return _Sources(lists=stats, account=account, params=params)


def _kept(sources: _Sources, audience: Audience) -> int | None:
    """The number of contacts, if it is a stored count or the difference of two, else `None`."""
    if audience.minus or len(audience.list_ids) > 1 or (audience.reachable and audience.stopped):
        return None
    [one] = sources.lists.values() or [None]
    mask = mask_of(audience.reachable or audience.stopped)
    if one is None:
        return None if mask else sources.account.contacts
    counts: dict[int, int] = {0: 0, mask_of(COUNTED): one.stop_list_count}
    counts |= {bit: getattr(one, f"{channel}_stopped") for channel, bit in CHANNELS.items()}
    if mask not in counts:
        return None
    return counts[mask] if audience.stopped else one.items - counts[mask]


def _formula(sources: _Sources, audience: Audience) -> _Formula:
    any_of, all_of = sources.members(audience.lists), sources.members(audience.all_of)
    if len(any_of) == 1:
        all_of = tuple(sorted({*all_of, *any_of}, key=lambda each: each.size))
        any_of = ()
    if not any_of and not all_of:
        all_of = (sources.everyone,)
    return _Formula(any_of, all_of, sources.members(audience.minus))


def _with(formula: _Formula, more: _Set) -> _Formula:
    """The formula with the further condition that contacts are in `more`."""
    within = [] if formula.of_everyone else formula.all_of
    all_of = sorted([*within, more], key=lambda each: each.size)
    return _Formula(formula.any_of, tuple(all_of), formula.none_of)


def _where(audience: Audience, table: str) -> str:
    """SQL: the stop mask of a row fits `reachable` and `stopped` of the audience."""
    mask = f"{table}.stop_mask"
    conditions = []
    if audience.reachable:
        conditions.append(f"{mask} & {mask_of(audience.reachable)} = 0")
    if audience.stopped:
        conditions.append(f"{mask} & {mask_of(audience.stopped)} <> 0")
    return " AND ".join(conditions) or "TRUE"


def _ids(tx: Transaction, formula: _Formula) -> str:
    """SQL: a SELECT of the ids of the contacts that meet a formula, in pieces."""
    if not formula.few:
        return tx.merged(
            any_of=[each.sql for each in formula.any_of],
            all_of=[each.sql for each in formula.all_of],
            none_of=[each.sql for each in formula.none_of],
        )
    # Read the smallest set, and look up each of its ids in all others.
    all_of, any_of = list(formula.all_of), list(formula.any_of)
    if all_of and not (any_of and _total(any_of) < all_of[0].size):
        base = all_of.pop(0).sql
    else:
        base, any_of = " UNION ".join(each.sql for each in any_of), []
    conditions = [_among(each) for each in all_of]
    if any_of:
        conditions.append(f"({' OR '.join(_among(each) for each in any_of)})")
    conditions += [f"NOT {_among(each)}" for each in formula.none_of]
    return f"""
        SELECT base.id FROM ({base}) AS base WHERE {" AND ".join(conditions) or "TRUE"}
        {tx.in_pieces("base.id")}
    """


def _among(other: _Set) -> str:
    return f"EXISTS (SELECT 1 FROM ({other.sql}) AS other WHERE other.id = base.id)"


def _total(sets: Iterable[_Set]) -> int:
    return sum(each.size for each in sets)
