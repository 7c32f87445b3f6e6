"""`rollbook serve`: runs the service."""

from __future__ import annotations

import os
import sys

import click

import rollbook
from rollbook import accounts, renumbering
from rollbook.cli.common import KEPT_BY_THE_SERVICE, Command, flags, opened
from rollbook.config import DEFAULT_DATABASE_URL, Settings
from rollbook.db import Database, Observer
from rollbook.errors import NotSetUp


@click.command(cls=Command)
@click.option(
    "--create",
    is_flag=True,
    help="For a first start: make the SQLite file if there is none. The default path needs no --create.",
)
@flags()
def serve(settings: Settings, create: bool) -> None:
    """Serve the API until SIGTERM.

    On its first start on an empty database it makes the account `default` and prints its key, once.

    A SQLite file that is not there is an error: it may lie on a volume that is not mounted, and an empty
    stop list would let everybody be messaged. Only at the default path, or with --create, it makes a new
    one; never where files of an earlier one lie, and never a folder. On PostgreSQL it sets an empty
    database up.
    """
    from rollbook.service import server

    first: list[accounts.NewKey] = []
    empty: list[bool] = []

    def prepared(settings: Settings, observer: Observer) -> Database:
        new = create or settings.database_url == DEFAULT_DATABASE_URL
        database = opened(settings, observer, create=new)
        try:
            if database.schema_version() == 0:
                if database.embedded and not new:
                    raise NotSetUp(database.name)
                database.migrate()  # before the claim: a killed start leaves no lock without a book
            database.claim()
            database.migrate()
            renumbering.bring_up_to_date(database)
            os.umask(KEPT_BY_THE_SERVICE)
            if database.embedded and (made := database.write(accounts.create_first)):
                first.append(made)
            elif not database.read(accounts.all):
                empty.append(True)
        except BaseException:
            database.close()
            raise
        return database

    def started(url: str) -> None:
        if first:
            click.echo(_welcome(url, first[0].key))
        if empty:
            click.echo("There is no account yet: `rollbook account create NAME`, `rollbook key create NAME`.")
        click.echo(f"rollbook {rollbook.__version__} serves {url}/api/ (documentation: {url}/docs)")
        sys.stdout.flush()

    server.serve(server.Parts(settings, prepared), started)


def _welcome(url: str, api_key: str) -> str:
    return f"""\
This database was empty: it now has the account 'default'. Its key, shown this once:

  {api_key}

Create a contact list:

  curl -i {url}/api/groups \\
    -H 'Authorization: Bearer {api_key}' \\
    -H 'Content-Type: application/json' \\
    -d '{{"name": "Customers"}}'
"""
