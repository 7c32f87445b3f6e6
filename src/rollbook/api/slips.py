"""Unknown parameters of requests: refused by rollbook's own routes, logged by the vendor's.

Rollbook's own routes also refuse what is empty or repeated. The vendor's routes ignore unknown parameters by
contract.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable

import msgspec

from rollbook.api.body import Body

NOTED_AGAIN_SECONDS = 3600.0
"""How long until the same parameter of the same key is logged again."""

REMEMBERED_MAX = 10_000
"""How many parameters of keys are remembered as logged. Beyond that, new ones are not logged."""

NAME_LENGTH_MAX = 64
"""How many characters of a parameter's name are logged."""

_DIGITS = re.compile(r"\d{4,}")


class NoBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of a call that takes none: an empty object."""


NO_BODY = Body(NoBody)


class SlipLog:
    """Logs unknown parameters, each once an hour for each key. It logs names only, since a value may be a
    phone. A name may be one too, so longer numbers in it are left out."""

    def __init__(self) -> None:
        self._when: dict[tuple[int, str], float] = {}
        self._log = logging.getLogger("rollbook.slips")

    def note(self, unknown: Iterable[str], *, key_id: int, route: str) -> None:
        """Log unknown parameters, unless they were logged lately.

        Args:
            unknown: the names of the parameters.
            route: the method and path of the route.
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
