"""`python -m tests.exports.impatient`: the command rollbook, whose exports wait a second for a client, not a minute."""

from __future__ import annotations

from rollbook import cli
from rollbook.api import streaming

if __name__ == "__main__":
    streaming.STALL_SECONDS = 1.0
    cli.main()
