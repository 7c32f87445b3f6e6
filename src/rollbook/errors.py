"""Errors: every error that a caller of rollbook may see.

They are raised where the problem is found and translated once: `api/app.py` turns them into status and wire
text, `cli` prints their message as a sentence.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

NAMED_AT_MOST = 20
"""An error message names at most this many ids, and gives the number of the others."""


def listed(ids: Sequence[int]) -> str:
    """Ids as a message lists them: `1, 2, 3 and 40 more`."""
    named = ", ".join(map(str, ids[:NAMED_AT_MOST]))
    return named if len(ids) <= NAMED_AT_MOST else f"{named} and {len(ids) - NAMED_AT_MOST} more"


class RollbookError(Exception):
    """The base of every error that a caller may see; `str(error)` is a sentence for people."""


class Problem(NamedTuple):
    """One problem with the input: the field, and what is wrong with it."""

    field: str
    message: str


class Invalid(RollbookError):
    """The input breaks a rule. Names every bad field, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(" ".join(problem.message for problem in problems))
        self.problems = tuple(problems)


class NotFound(RollbookError):
    """Nothing with that id or name exists in the account."""

    def __init__(self, noun: str, which: object) -> None:
        super().__init__(f"There is no {noun} {which}.")
        self.noun = noun


class AlreadyExists(RollbookError):
    """The name is taken in the account."""

    def __init__(self, noun: str, which: object) -> None:
        super().__init__(f"There is already {'an' if noun[0] in 'aeiou' else 'a'} {noun} {which!r}.")
        self.noun = noun


class UnknownIds(RollbookError):
    """A call names ids that the account does not have. Nothing was changed.

    Args:
        ids: the unknown ids by noun, in ascending order.
        problems: other problems with the call.
    """

    def __init__(self, ids: Mapping[str, Sequence[int]], problems: Sequence[Problem] = ()) -> None:
        sentences = [f"There is no {noun} {listed(unknown)}." for noun, unknown in ids.items()]
        super().__init__(" ".join([*sentences, *(problem.message for problem in problems)]))
        self.ids = dict(ids)
        self.problems = tuple(problems)

    @classmethod
    def among(cls, **nouns: tuple[Iterable[int], Container[int]]) -> UnknownIds | None:
        """The error for the ids that do not exist; `None` when all do.

        Args:
            nouns: for each noun the ids that the call names, and the ids that exist.
        """
        unknown = {
            noun: missing
            for noun, (named, existing) in nouns.items()
            if (missing := sorted({id for id in named if id not in existing}))
        }
        return cls(unknown) if unknown else None


class LimitExceeded(RollbookError):
    """A request exceeds a limit. Nothing was changed."""


class IdempotencyMismatch(RollbookError):
    """An Idempotency-Key was used again with a different request."""

    def __init__(self) -> None:
        super().__init__("This Idempotency-Key was already used with a different request.")


class Unavailable(RollbookError):
    """The service cannot process the request now and did not; the same request may succeed later.

    Args:
        message: the cause, as a sentence.
        retry_after_seconds: the time to wait before trying again.
    """

    def __init__(self, message: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Busy(Unavailable):
    """A queue is full, or another process holds the database."""


class NodeAway(Unavailable):
    """A machine of a distributed database does not answer; accounts on the others are served."""

    def __init__(self) -> None:
        super().__init__("A node of the database is away; try again.", retry_after_seconds=2)


class DatabaseDamaged(Unavailable):
    """Parts of the database cannot be read. Waiting does not help."""

    def __init__(self) -> None:
        super().__init__(
            "The database is damaged: parts of it cannot be read. It must be repaired, or "
            "restored from a backup.",
            retry_after_seconds=30,
        )


class NoDatabase(Unavailable):
    """There is no database at the given path. Nothing was created.

    Args:
        path: the path as it was given.
        empty: whether there is an empty file at that path.
        folder: the folder of the path, if it does not exist either; else "".
        left: files at that place that belong to a missing database.
    """

    def __init__(self, path: str, *, empty: bool = False, folder: str = "", left: Sequence[str] = ()) -> None:
        message = (
            f"The file {path} is empty: it is not a database." if empty else f"There is no database {path}."
        )
        if left:
            message += (
                f" One was here: {' and '.join(left)} {'belong' if len(left) > 1 else 'belongs'} to it. Is a "
                "volume not mounted, or was the file moved? Put the database back. To begin anew with an "
                "empty one, move these away first."
            )
        elif folder:
            message += f" The folder {folder} is not there, either: is a volume not mounted?"
            message += " rollbook makes no folders."
        else:
            message += (
                " If the path is right and a new one is to begin here: `rollbook migrate`, `rollbook account "
                "create` or `rollbook serve --create`."
            )
        super().__init__(message, retry_after_seconds=30)


class NotSetUp(RollbookError):
    """The database exists but has no tables yet. Nothing was created."""

    def __init__(self, database: str) -> None:
        super().__init__(
            f"{database} is empty: no rollbook has set it up. If it is the right one, run `rollbook migrate` "
            "first."
        )


class ClusterNotReady(RollbookError):
    """The database uses Citus, and its tables cannot be set up from this node, or not yet."""


class StrangeDatabase(RollbookError):
    """The database belongs to another program. Nothing in it was changed."""

    def __init__(self, database: str) -> None:
        super().__init__(
            f"{database} is the database of another program: it has tables that are not rollbook's. Nothing "
            "was changed; name a database of its own for rollbook."
        )


class DatabaseTooNew(RollbookError):
    """The database was migrated by a newer rollbook than this one."""

    def __init__(self, version: int, newest: int) -> None:
        super().__init__(
            f"The database is at schema version {version}, but this rollbook knows only versions up to "
            f"{newest}. Start a rollbook at least as new as the one that migrated it."
        )


class BadDatabaseUrl(RollbookError):
    """The database URL names an unknown engine, or has parts that the engine does not accept.

    Args:
        url: the URL.
        reason: what is wrong, where more is known than that the URL is invalid.
    """

    def __init__(self, url: str, reason: str = "") -> None:
        super().__init__(
            f"{url!r} is not a database URL: {f'{reason}; ' if reason else ''}use sqlite:///relative.db, "
            "sqlite:////absolute.db or postgresql://user:password@host:5432/name."
        )


class CannotListen(RollbookError):
    """The service cannot listen on the given address."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(f"rollbook cannot listen on {host}:{port}: {reason.lower()}.")


class WorkerFailed(RollbookError):
    """A worker process did not start."""

    def __init__(self) -> None:
        super().__init__("A worker did not start; the log says why.")


class DatabaseInUse(RollbookError):
    """Another rollbook process serves this embedded database already.

    Args:
        path: the path of the database.
        other_name: whether it uses the file under another name, which is then the only one that may be used.
    """

    def __init__(self, path: str, *, other_name: bool = False) -> None:
        super().__init__(
            f"Another rollbook serves {path} already, under another name of the same file (a hard link): use "
            "that name, and remove this one."
            if other_name
            else f"Another rollbook serves {path} already. An embedded database has exactly one service; "
            "use PostgreSQL for several."
        )


class NotNow(RollbookError):
    """The object exists, but its present state does not allow this change."""


class BadFile(RollbookError):
    """A file cannot be read as a table; the message says what is wrong, where, and what to do."""


class CannotWrite(RollbookError):
    """A file cannot be written, or must not be."""

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(f"{path} cannot be written: {reason}.")
