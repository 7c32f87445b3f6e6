"""`rollbook serve`."""

from __future__ import annotations

import sys

import click

import rollbook
from rollbook import accounts
from rollbook.cli.common import Command, flags, opened
from rollbook.config import Settings
from rollbook.db import Database, Observer


@click.command(cls=Command)
@flags()
def serve(settings: Settings) -> None:
    """Serve the API until SIGTERM.

    On its first start on an empty database it makes the account `default` and prints its key, once.
    """
    from rollbook.api import server

    first: list[accounts.NewKey] = []
    empty: list[bool] = []

    def prepared(settings: Settings, observer: Observer) -> Database:
        database = opened(settings, observer)
        try:
            database.claim()
            database.migrate()
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
