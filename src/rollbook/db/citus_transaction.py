"""Statements on Citus, where they differ from those on a single PostgreSQL server."""

from __future__ import annotations

from collections.abc import Mapping

from rollbook.db import migrations
from rollbook.db.postgres_transaction import PostgresTransaction


class CitusTransaction(PostgresTransaction):
    """Statements on Citus."""

    def exclusively(self, name: str) -> None:
        # An advisory lock belongs to the node of the session. The row of this table is on the coordinator,
        # whichever node changes it, and stays locked until the transaction ends.
        self.run(migrations.TAKE_IDS, kind=f"lock: {name}", count=0)

    def _plan(self, settings: Mapping[str, str]) -> None:
        for name, value in settings.items():  # set_config() stays on one node
            self.run(f"SET LOCAL {name} = '{value}'")
