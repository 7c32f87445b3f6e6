"""Whether this process is about to end: answers that go on and on must then come to their end."""

from __future__ import annotations

ending = False
"""Set by the server on SIGTERM."""
