"""The log: requests and all other events on stderr, one JSON object on each line."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from datetime import UTC, datetime

import msgspec

from rollbook.texts import visible_json


class LogLine(msgspec.Struct, omit_defaults=True):
    """One line of the log. It never contains a token, a key or a phone."""

    time: str
    level: str
    event: str
    request_id: str | None = None
    account_id: int | None = None
    method: str | None = None
    route: str | None = None
    status: int | None = None
    ms: float | None = None
    error: str | None = None
    logger: str | None = None
    trace: str | None = None


class Log:
    """Log lines of requests, written once for each turn of the event loop."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._encode = msgspec.json.Encoder().encode
        self._lines: list[bytes] = []
        self._second = 0
        self._prefix = ""

    def request(self, line: LogLine) -> None:
        """Keep a line until this turn of the loop ends."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.append(visible_json(self._encode(line)))

    def flush(self) -> None:
        """Write the lines that were kept."""
        lines, self._lines = self._lines, []
        if lines:
            lines.append(b"")
            try:
                sys.stderr.buffer.write(b"\n".join(lines))
                sys.stderr.buffer.flush()
            except (OSError, ValueError):
                pass  # the log has no reader any more; requests go on

    def now(self) -> str:
        """The time for a line: RFC 3339 with milliseconds."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S.")
        return f"{self._prefix}{int((now - second) * 1000):03d}Z"


class JsonFormatter(logging.Formatter):
    """Log records of libraries, and errors, in the same form as the lines of requests."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = LogLine(
            time=moment.replace("+00:00", "Z"),
            level=record.levelname.lower(),
            event=record.getMessage(),
            request_id=getattr(record, "request_id", None),
            logger=record.name,
            trace=self.formatException(record.exc_info) if record.exc_info else None,
        )
        return visible_json(msgspec.json.encode(line)).decode()


def set_up_logging(level: str) -> None:
    """Send the logs of all libraries to stderr, one JSON object on each line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = name != "uvicorn.access"
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, logging.getLogger().level))
