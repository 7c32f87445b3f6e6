"""Slips of callers. On rollbook's own routes what is unknown, empty or said twice is refused; on the
vendor's, which ignore what they do not know by contract, an unknown parameter is noted in the log."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable

import msgspec

from rollbook.api.body import Body

NOTED_AGAIN_SECONDS = 3600.0
"""After which a parameter is noted in the log again, for each key."""

REMEMBERED_MAX = 10_000
"""Parameters of keys that are remembered as noted. When there are more, new ones are not noted."""

NAME_LENGTH_MAX = 64
"""Of a parameter's name in the log."""

_DIGITS = re.compile(r"\d{4,}")


class NoBody(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing: what a call without a body takes."""


NO_BODY = Body(NoBody)


class SlipLog:
    """Notes unknown parameters in the log, each once an hour for each key. Names only, since a value may be a
    phone; a name may be one too, so longer numbers in it are left out."""

    def __init__(self) -> None:
        self._when: dict[tuple[int, str], float] = {}
        self._log = logging.getLogger("rollbook.slips")

    def note(self, unknown: Iterable[str], *, key_id: int, route: str) -> None:
        """Note unknown parameters, unless they were noted lately.

        Args:
            unknown: their names.
            route: method and path of the route.
        """
        now = time.monotonic()
        found = [
            name
            for key in unknown
            if self._new((key_id, name := _DIGITS.sub("#", key[:NAME_LENGTH_MAX])), now)
        ]
        if found:
            self._log.warning("%s ignores the unknown parameters %s (key %d)", route, found, key_id)

    def _new(self, seen: tuple[int, str], now: float) -> bool:
        at = self._when.get(seen)
        if at is not None and now - at < NOTED_AGAIN_SECONDS:
            return False
        if len(self._when) >= REMEMBERED_MAX:
            self._when = {key: at for key, at in self._when.items() if now - at < NOTED_AGAIN_SECONDS}
            if len(self._when) >= REMEMBERED_MAX:
                return False
        self._when[seen] = now
        return True
