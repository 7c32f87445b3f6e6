"""Slips of callers. On rollbook's own routes what is unknown, empty or said twice is refused; on the
vendor's, which ignore what they do not know by contract, an unknown parameter is told in the log."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from rollbook.api.body import Body
from rollbook.errors import Invalid
from rollbook.options import Option, values

TOLD_AGAIN_SECONDS = 3600.0
"""After which a parameter is told in the log again, for each key."""

REMEMBERED_MAX = 10_000
"""Parameters of keys that are remembered as told. When there are more, new ones are not told."""

NAME_LENGTH_MAX = 64
"""Of a parameter's name in the log."""

_ARRAY = re.compile(r"\[\d*\]$")
_DIGITS = re.compile(r"\d{4,}")
_CRITERION = re.compile(r"(search|search_fields)(\[\d+\])?\[(field|operator|operation|value)\]")
_ALIASES = {"types": "type"}


class NoBody(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing: what a call without a body takes."""


NO_BODY = Body(NoBody)


def said_of(options: Sequence[Option], params: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the query of a route of rollbook's own says: for every option its value.

    Args:
        options: all that the route takes.
        params: the query, percent-decoded; a repeated name has a list.

    Raises:
        Invalid: naming every option that there is not, that is empty, that is given more than once where it
            may not be, or whose value cannot be.
    """
    many = {option.name for option in options if option.many}
    given: dict[str, list[str]] = {}
    for key, value in params.items():
        name = base if (base := _ARRAY.sub("", key)) in many else key
        given.setdefault(name, []).extend(value if isinstance(value, list) else [value])
    found, problems = values(options, given)
    if problems:
        raise Invalid(problems)
    return found


def unknown(names: Sequence[str], params: Mapping[str, Any]) -> Iterator[str]:
    """The parameters of a query that a route of the vendor's ignores.

    Args:
        names: of the parameters that it takes.
    """
    for key in params:
        name = _ARRAY.sub("", key)
        criterion = _CRITERION.fullmatch(key)
        if criterion:
            name = criterion[1]
        if key not in names and name not in names and _ALIASES.get(name) not in names:
            yield key


class Told:
    """Tells unknown parameters in the log, each once an hour for each key. Names only, since a value may be a
    phone; a name may be one too, so longer numbers in it are left out."""

    def __init__(self) -> None:
        self._when: dict[tuple[int, str], float] = {}
        self._log = logging.getLogger("rollbook.slips")

    def tell(self, names: Sequence[str], params: Mapping[str, Any], *, key_id: int, route: str) -> None:
        """Tell what of `params` is unknown, if it was not told of late.

        Args:
            names: of the parameters that the route takes.
            route: method and path of the route.
        """
        now = time.monotonic()
        found = [
            name
            for key in unknown(names, params)
            if self._new((key_id, name := _DIGITS.sub("#", key[:NAME_LENGTH_MAX])), now)
        ]
        if found:
            self._log.warning("%s ignores the unknown parameters %s (key %d)", route, found, key_id)

    def _new(self, seen: tuple[int, str], now: float) -> bool:
        at = self._when.get(seen)
        if at is not None and now - at < TOLD_AGAIN_SECONDS:
            return False
        if len(self._when) >= REMEMBERED_MAX:
            self._when = {key: at for key, at in self._when.items() if now - at < TOLD_AGAIN_SECONDS}
            if len(self._when) >= REMEMBERED_MAX:
                return False
        self._when[seen] = now
        return True
