"""Puts the phones of a piece of the stage on the stop list, as arrays, without an object for each phone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rollbook import stop_list
from rollbook.channels import MASK_BITS
from rollbook.counts import MaskChange
from rollbook.db import Integers, Transaction
from rollbook.imports import ascending
from rollbook.phones import changes

Ids = NDArray[np.int64]

RANGE_READ_MAX = 5_000
"""Rows of the stop list between the first and the last phone of a piece that are read at once, instead of a
look-up for each phone. That takes a tenth of the time, and most of a book is not stopped."""

_ALL_BITS = (1 << MASK_BITS) - 1
_NEW_RANGES = np.array(list(changes.new_ranges()), np.int64)


def masks(tx: Transaction, account_id: int, phones: Ids) -> Ids:
    """The channels on which phones are stopped, as masks; 0 for none.

    Args:
        phones: ascending, each once, at least one.
    """
    found = np.zeros(len(phones), np.int64)
    stopped = _stopped_between(tx, account_id, phones)
    if len(stopped) <= RANGE_READ_MAX:
        places, wanted = ascending.places(phones, stopped >> MASK_BITS)
        found[places[wanted]] = stopped[wanted] & _ALL_BITS
        return found
    stopped = _numbers(
        tx.one(
            str,
            f"""
            SELECT string_agg(CAST(((phones.place - 1) << {MASK_BITS}) | stop_list.mask AS text), ' ')
            FROM {tx.integers("phones")} CROSS JOIN stop_list
            WHERE stop_list.account_id = :account_id AND stop_list.phone = phones.value
            """,
            account_id=account_id,
            phones=Integers(phones),
        )
    )
    found[stopped >> MASK_BITS] = stopped & _ALL_BITS
    return found


def _stopped_between(tx: Transaction, account_id: int, phones: Ids) -> Ids:
    """The rows of the stop list from the first of `phones` to the last, each with its mask in the last bits
    of its phone; one row more than `RANGE_READ_MAX` when there are more than that."""
    return _numbers(
        tx.one(
            str,
            f"""
            SELECT string_agg(CAST((stopped.phone << {MASK_BITS}) | stopped.mask AS text), ' ')
            FROM (
                SELECT phone, mask FROM stop_list
                WHERE account_id = :account_id AND phone >= :low AND phone <= :high ORDER BY phone LIMIT :most
            ) AS stopped
            """,
            account_id=account_id,
            low=int(phones[0]),
            high=int(phones[-1]),
            most=RANGE_READ_MAX + 1,
        )
    )


def _numbers(text: str | None) -> Ids:
    """The integers in a text: as one text they come from the database without an object for each."""
    return np.fromstring(text, np.int64, sep=" ") if text else np.zeros(0, np.int64)


class _Wanted(NamedTuple):
    """Phones, ascending, each once, with the channels on which they are stopped, and will be."""

    phones: Ids
    before: Ids
    after: Ids


def add(tx: Transaction, account_id: int, phones: Ids, before: Ids, added: Ids) -> Ids:
    """Stop phones, each on channels of its own, and contacts that have them in an old form. The caller holds
    the lock of the account.

    Args:
        phones: ascending, each once, at least one.
        before: the masks of the channels on which they are stopped, as from `masks`.
        added: the masks of the channels on which to stop each of them.

    Returns:
        The masks of the channels on which each is stopped afterwards.
    """
    missing = (added & ~before) != 0
    if not missing.any():
        return before
    wanted = _Wanted(phones[missing], before[missing], (before | added)[missing])
    wanted = _with_old_forms(tx, account_id, wanted, added[missing])
    changed = wanted.before != wanted.after
    wanted = _Wanted(*(column[changed] for column in wanted))
    numbers = stop_list.packed(*wanted)
    if len(new := numbers[wanted.before == 0]):
        stop_list.insert(tx, account_id, Integers(new))
    ways, rows = np.unique((wanted.before << MASK_BITS) | wanted.after, return_counts=True)
    stop_list.apply(
        tx,
        account_id,
        Integers(numbers),
        {
            MaskChange(way >> MASK_BITS, way & _ALL_BITS): count
            for way, count in zip(ways.tolist(), rows.tolist(), strict=True)
        },
    )
    after = before | added
    places, inside = ascending.places(phones, wanted.phones)
    after[places[inside]] = wanted.after[inside]
    return after


def _with_old_forms(tx: Transaction, account_id: int, wanted: _Wanted, added: Ids) -> _Wanted:
    """The same phones, and contacts that have one of them in an old form: a stop applies to both
    (docs/decisions/0025)."""
    stored = stop_list.contacts_in_old_form(tx, account_id, old_forms(wanted.phones))
    old = np.array(sorted(stored), np.int64)
    places, inside = ascending.places(
        wanted.phones, np.array([stored[form] for form in old.tolist()], np.int64)
    )
    old, places = old[inside], places[inside]
    if not len(old):
        return wanted
    before = masks(tx, account_id, old)
    phones, first = np.unique(np.concatenate([wanted.phones, old]), return_index=True)
    after = np.concatenate([wanted.after, before])[first]
    after[np.searchsorted(phones, old)] |= added[places]
    return _Wanted(phones, np.concatenate([wanted.before, before])[first], after)


def old_forms(phones: Ids) -> Ids:
    """The old forms that any of the phones may have had, ascending.

    Args:
        phones: ascending.
    """
    firsts = np.searchsorted(phones, _NEW_RANGES[:, 0])
    behind = np.searchsorted(phones, _NEW_RANGES[:, 1], side="right")
    filled = np.flatnonzero(firsts < behind).tolist()
    parts = [phones[firsts[place] : behind[place]] + _NEW_RANGES[place, 2] for place in filled]
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0, np.int64)
