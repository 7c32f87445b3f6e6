"""The duplicate guard: refuses a client that sends the same request again and again."""

from __future__ import annotations

from collections.abc import Hashable

from rollbook.api.errors import ApiError

ENTRIES_MAX = 50_000
"""How many requests are remembered before those outside the window are dropped."""


class DuplicateGuard:
    """Refuses a request that repeats an earlier one too often within a short window.

    It is kept in memory: each of several services counts for itself.

    Args:
        window_seconds: how long a request is remembered; 0 switches the guard off.
        repeats: how many repeats there may be within the window; the last of them is refused.
    """

    def __init__(self, window_seconds: float, repeats: int) -> None:
        self._window_seconds = window_seconds
        self._repeats = repeats
        self._seen: dict[Hashable, tuple[float, int]] = {}

    def check(self, request: Hashable, now: float) -> None:
        """Count a request, and refuse it if it is repeated too often.

        Args:
            request: identifies the request: account, method, path and body.
            now: seconds, from a clock that never goes back.

        Raises:
            ApiError: 429, with Retry-After.
        """
        if not self._window_seconds:
            return
        first, repeats = self._seen.get(request, (now, -1))
        if now - first > self._window_seconds:
            first, repeats = now, -1
        repeats += 1
        self._seen[request] = (first, repeats)
        if len(self._seen) > ENTRIES_MAX:
            self._forget(now)
        if repeats >= self._repeats:
            wait = max(1, round(first + self._window_seconds - now + 0.5))
            raise ApiError(429, "Too many duplicate request detected", headers={"Retry-After": str(wait)})

    def _forget(self, now: float) -> None:
        kept = {key: seen for key, seen in self._seen.items() if now - seen[0] <= self._window_seconds}
        self._seen = kept if len(kept) <= ENTRIES_MAX // 2 else {}
