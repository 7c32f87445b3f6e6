"""The process in which a service writes an export: `python -m rollbook.exports`.

It reads an `ExportOrder` from standard input, one line of JSON, and writes the file to standard output. Its
parent keeps standard input open as long as it wants the file. It exits with 0 when the file is complete, and
with `UNAVAILABLE` and a sentence on standard error when the database is unreachable.
"""

from __future__ import annotations

import os
import sys

import msgspec

from rollbook import exports, parent
from rollbook.db import open_database
from rollbook.errors import Unavailable
from rollbook.exports.order import UNAVAILABLE, ExportOrder

NICENESS = 5
"""Processes that answer requests have priority."""


def main() -> None:
    """Write the export that standard input orders."""
    os.nice(NICENESS)
    line = parent.lines(at_end=lambda: os._exit(1)).get()
    assert line is not None  # at the end of standard input the process ends
    order = msgspec.json.decode(line, type=ExportOrder)
    try:
        database = open_database(order.database_url)
        try:
            exports.write(database, order.account_id, order.export, sys.stdout.buffer)
            sys.stdout.buffer.flush()
        finally:
            database.close()
    except Unavailable as error:
        sys.stderr.write(str(error))
        sys.exit(UNAVAILABLE)
    except BrokenPipeError:
        os._exit(1)  # its parent does not read it any more


if __name__ == "__main__":
    main()
