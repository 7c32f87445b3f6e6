"""The service with two more routes, which do all that HTTP asks for and nothing that the database does.

Same process, middleware, authentication, duplicate guard, body reading, validation, encoding, log and
metrics; only the call of the core is replaced by a value that is at hand.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NoReturn, cast

import msgspec

from benchmarks import sample
from rollbook import config, lists
from rollbook.api import app as application
from rollbook.api import lists as api
from rollbook.api.edge import Route
from rollbook.api.wire import Call, Read
from rollbook.config import Settings
from rollbook.db import Database, open_database
from rollbook.logs import Log
from rollbook.metrics import Metrics
from rollbook.service import server

LIST_ID_EXAMPLE = 1000
"""The constant list has an id of as many digits as those that `bench_read_list` asks for."""

_MOMENT = datetime(2022, 4, 28, 14, 21, 16, tzinfo=UTC)
_ids = itertools.count(1)


class AtHand:
    """A function of the core that needs no database: the event loop calls it where it stands."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.fn = fn

    def __call__(self, *given: Any) -> NoReturn:
        raise AssertionError(f"a function that needs no database was given {given[:1]}")


class WithoutDatabase:
    """A database that is left alone by functions that are `AtHand`; anything else it does as ever."""

    reads_inline = True

    def __init__(self, database: Database) -> None:
        self._database = database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def read_inline(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Answer at once, or read: that is one look at the caller's key every 20 seconds."""
        if isinstance(fn, AtHand):
            return fn.fn(*args)
        return self._database.read(fn, *args)

    def snapshot(self) -> _NoSnapshot:
        """What the reads of one turn share: nothing, they need no state of the database."""
        return _NoSnapshot(self)


class _NoSnapshot:
    def __init__(self, database: WithoutDatabase) -> None:
        self.read = database.read_inline

    def close(self) -> None:
        """Nothing was opened."""


def create(call: Call, body: api.ListCreate) -> Read:
    """As `POST /api/groups`, without storing the list."""
    work = api.create(call, body)
    return Read(_created, *work.args, show=work.show, quick=True)


def get(call: Call) -> Read:
    """As `GET /api/groups/{id}`, always the same list, encoded before."""
    return Read(_nothing, call.id, show=lambda _: _CONSTANT, quick=True)


@AtHand
def _created(_: int, new: lists.NewList) -> lists.ContactList:
    return lists.ContactList(next(_ids), new.name, new.description, new.is_default, _MOMENT, 0, 0)


@AtHand
def _nothing(*_: int) -> None:
    return None


_CONSTANT = msgspec.Raw(
    msgspec.json.encode(
        api.OneList(
            api.ContactListJson(
                id=LIST_ID_EXAMPLE,
                name=sample.NAME.format(number=sample.NAME_NUMBERS[0]),
                description=sample.DESCRIPTION,
                default=False,
                created_at=str(_MOMENT)[:19],
                items=0,
                stop_list_count=0,
            )
        )
    )
)

# fmt: off
ROUTES = (
    Route("POST", "/bench/groups",      create, "write", application.NEW_LIST, api.OneList, 201,
          guarded=True),
    Route("GET",  "/bench/groups/{id}", get,    "read",  None, api.OneList),
)
# fmt: on


def build(
    settings: Settings, database: Database, metrics: Metrics, log: Log, *, ending: Callable[[], bool]
) -> Any:
    """The application with the two routes more; see `rollbook.api.app.build`."""
    without = cast("Database", WithoutDatabase(database))
    return application.build(settings, without, metrics, log, [*application.ROUTES, *ROUTES], ending=ending)


def main() -> None:
    """Serve on a database that is migrated already."""
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["serve"])
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--workers", type=int)
    settings = config.load(vars(parser.parse_args()), os.environ)
    parts = server.Parts(
        settings, lambda settings, observer: open_database(settings.database_url, observer=observer), build
    )
    server.serve(parts, lambda url: print(f"the yardstick serves {url}/api/", flush=True))


if __name__ == "__main__":
    main()
