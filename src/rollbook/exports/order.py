"""What a service sends to the process that writes an export."""

from __future__ import annotations

import msgspec

from rollbook.exports import Export

UNAVAILABLE = 75
"""Exit code: the database is unreachable (EX_TEMPFAIL of sysexits.h)."""


class ExportOrder(msgspec.Struct, frozen=True):
    """An export of an account's data."""

    database_url: str
    account_id: int
    export: Export
