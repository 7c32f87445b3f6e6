"""Settings of the service: one declaration gives each its flag, its environment variable and its
documentation.

A flag overrides the variable, the variable overrides the default.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from rollbook.errors import Invalid, Problem

PREFIX = "ROLLBOOK_"


DEFAULT_DATABASE_URL = "sqlite:///rollbook.db"

CHOICES: Mapping[str, Sequence[str]] = {
    "contact_fields": ("auto", "object", "list"),
    "phone_check": ("possible", "valid"),
    "log_level": ("debug", "info", "warning", "error"),
}
"""Settings with a fixed set of values."""


def _setting(default: Any, help: str, *, low: float | None = None, high: float | None = None) -> Any:
    return field(default=default, metadata={"help": help, "low": low, "high": high})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a service. The names of durations end with the unit."""

    database_url: str = _setting(
        DEFAULT_DATABASE_URL,
        "The database: sqlite:///relative.db, sqlite:////absolute.db or postgresql://user@host/name.",
    )
    host: str = _setting("127.0.0.1", "Address to listen on; 0.0.0.0 for all.")
    port: int = _setting(8080, "Port to listen on; 0 for any free one.", low=0, high=65535)
    workers: int = _setting(
        1, "PostgreSQL: processes that answer requests. An embedded database has exactly one.", low=1, high=64
    )
    connections_max: int = _setting(
        4000,
        "Connections that one process holds at once, capped at half of its file descriptors. "
        "Beyond that the connection that has been idle longest is closed; if none is idle, a "
        "new one gets 503.",
        low=1,
    )
    header_bytes_max: int = _setting(
        65_536, "Largest size of all headers of a request together; more gets 431.", low=1024, high=16_777_216
    )
    headers_max: int = _setting(100, "Most headers of a request; more get 431.", low=10, high=10_000)
    header_seconds: float = _setting(
        10.0,
        "How long the head of a request may take, from the connection or, on a reused "
        "connection, from its first byte; then it gets 408.",
        low=0.1,
    )
    transfer_bytes_per_second_min: float = _setting(
        500.0,
        "Slowest pace at which a client may send a body or read an answer; slower ones are cut "
        "off (a body with 408). 0 for no limit.",
        low=0,
    )
    slow_seconds: float = _setting(20.0, "Over how long that pace is measured.", low=0.1)
    request_seconds: float = _setting(
        25.0,
        "How long a request waits for the database; then it gets 503 (a change may or may not "
        "be stored), and so does every other request at once, until the database answers again.",
        low=0.1,
    )
    token_days: float = _setting(
        30.0, "Life of a token from login or refresh, in days.", low=0.000001, high=3650
    )
    auth_cache_seconds: float = _setting(
        20.0,
        "A revoked key, and every token made from it, is refused after at most this time.",
        low=0,
        high=60,
    )
    duplicate_window_seconds: float = _setting(
        1.0,
        "The same POST of an account repeated within this time is refused (429); 0 switches it off.",
        low=0,
    )
    duplicate_repeats: int = _setting(
        5, "Which repeat within the window is refused: with 5, the sixth request.", low=1
    )
    idempotency_hours: float = _setting(
        24.0, "How long the answer to a request with an Idempotency-Key is kept.", low=0.000001, high=8760
    )
    body_bytes_max: int = _setting(1_048_576, "Largest JSON body of a request.", low=1024)
    bulk_body_bytes_max: int = _setting(
        16_777_216, "Largest body of a call that takes thousands of contacts.", low=1024
    )
    spool_dir: str = _setting(
        "",
        "Folder for the files of imports under way. Without it: beside an embedded database, its name with "
        ".spool; else rollbook-spool in the folder that the service is started in.",
    )
    import_workers: int = _setting(
        2,
        "Processes that the service starts for imports when there are any; 0 for none, where `rollbook work` "
        "does them.",
        low=0,
        high=16,
    )
    import_stall_seconds: float = _setting(
        300.0,
        "A worker that reports no progress for this long is killed and its import restarted, "
        "at most three times; 0 for never.",
        low=0,
    )
    import_memory_bytes_max: int = _setting(
        6_442_450_944,
        "Memory that one worker may take for its own data; an import that takes more fails. 0 for no limit.",
        low=0,
    )
    import_cpu_seconds_max: int = _setting(
        7200,
        "CPU time that one attempt at an import may take; then it fails. 0 for no limit.",
        low=0,
    )
    import_decoded_bytes_max: int = _setting(
        34_359_738_368,
        "Most text in all cells of an imported file, after decompression.",
        low=1024,
    )
    import_rejects_bytes_max: int = _setting(
        67_108_864,
        "Largest file of an import's rejected rows; further rows are counted but not kept.",
        low=1024,
    )
    import_bytes_max: int = _setting(
        4_294_967_296, "Largest file that may be uploaded for import, as it is sent.", low=1024
    )
    uploads_max: int = _setting(
        4, "Files that an account may send at once to one process; further ones get 429.", low=1, high=1000
    )
    spool_free_bytes_min: int = _setting(
        536_870_912,
        "Free space that uploads must leave on the spool's disk; one that would leave less gets 507.",
        low=0,
    )
    import_keep_days: float = _setting(
        7.0, "How long an import can be undone and its rejects can be read.", low=0.000001, high=3650
    )
    exports_max: int = _setting(
        4, "Exports that one process sends at once; further ones get 503.", low=1, high=64
    )
    exports_per_account_max: int = _setting(
        2, "Exports of one account that one process sends at once; further ones get 503.", low=1, high=64
    )
    export_bytes_per_second_min: float = _setting(
        10_000.0,
        "Slowest pace at which a client may read an export, averaged over a minute; slower ones are ended.",
        low=0,
    )
    event_streams_max: int = _setting(
        200, "Streams of events that one process sends at once; further ones get 503.", low=1
    )
    event_streams_per_account_max: int = _setting(
        20, "Streams of events of one account that one process sends at once; further ones get 503.", low=1
    )
    contact_fields: str = _setting(
        "auto",
        "Form of a contact's fields in answers: object, list, or auto (list for the vendor's generated "
        "clients, which read nothing else, object for all others).",
    )
    phone_check: str = _setting(
        "possible",
        "Which phones the API takes: possible (country code and length are right), or valid (in a range that "
        "the numbering plan assigns today).",
    )
    write_queue_max: int = _setting(
        4096, "Writes that may wait before new ones get 503; one account may fill half of it.", low=1
    )
    write_batch_max: int = _setting(256, "Most writes that share one commit.", low=1, high=10_000)
    read_queue_max: int = _setting(
        4096,
        "Reads that may wait for a thread before new ones get 503; one account may fill half of it.",
        low=1,
    )
    writer_threads: int = _setting(2, "PostgreSQL: connections that write.", low=1, high=64)
    reader_threads: int = _setting(2, "Connections that read in a thread of their own.", low=1, high=64)
    statement_timeout_seconds: float = _setting(30.0, "PostgreSQL: what one statement may take.", low=0.1)
    busy_timeout_seconds: float = _setting(
        10.0, "SQLite: how long a write waits for another process that writes.", low=0
    )
    shutdown_seconds: int = _setting(30, "After SIGTERM, how long requests under way may take.", low=1)
    metrics_token: str = _setting(
        "",
        "Bearer token that /metrics requires; without it anybody may read them. Better set as "
        "a variable: flags are visible in the list of processes.",
    )
    log_level: str = _setting("info", "debug, info, warning or error; requests are logged at info.")

    def __post_init__(self) -> None:
        problems = []
        for setting in fields(self):
            value, low, high = getattr(self, setting.name), setting.metadata["low"], setting.metadata["high"]
            if isinstance(value, float) and not math.isfinite(value):
                problems.append(
                    Problem(setting.name, f"{flag(setting.name)} must be a finite number, not {value:g}.")
                )
            elif (low is not None and value < low) or (high is not None and value > high):
                bounds = f"at least {low:g}" if high is None else f"between {low:g} and {high:g}"
                problems.append(
                    Problem(setting.name, f"{flag(setting.name)} must be {bounds}, not {value:g}.")
                )
        if self.workers > 1 and not self.database_url.startswith("postgres"):
            problems.append(
                Problem(
                    "workers", "--workers needs PostgreSQL: an embedded database has exactly one service."
                )
            )
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                listing = f"{', '.join(choices[:-1])} and {choices[-1]}"
                problems.append(Problem(name, f"{flag(name)} must be one of {listing}."))
        if problems:
            raise Invalid(problems)


def spool_of(settings: Settings) -> Path:
    """The folder for the files of imports."""
    if settings.spool_dir:
        return Path(settings.spool_dir)
    if settings.database_url.startswith("sqlite:///"):
        # The path without links: a command that opens the database through a link finds the service's spool.
        return Path(os.path.realpath(settings.database_url.removeprefix("sqlite:///")) + ".spool")
    return Path("rollbook-spool")


def flag(name: str) -> str:
    """The flag of a setting or an option: `--token-days` for `token_days`."""
    return "--" + name.replace("_", "-")


def variable(setting: Field[Any]) -> str:
    """`ROLLBOOK_TOKEN_DAYS` for `token_days`."""
    return PREFIX + setting.name.upper()


def all_settings() -> list[tuple[Field[Any], type[Any]]]:
    """Every setting with the type of its value."""
    hints = get_type_hints(Settings)
    return [(setting, hints[setting.name]) for setting in fields(Settings)]


def load(flags: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Settings from flags (`None` where a flag was not given) and environment variables.

    Raises:
        Invalid: a value cannot be read or is out of range, or a `ROLLBOOK_*` variable is not a setting (a
            misspelt one must not be silently ignored).
    """
    values: dict[str, Any] = {}
    variables = {variable(setting) for setting, _ in all_settings()}
    problems = [
        Problem(name, f"{name} is not a setting; see `rollbook serve --help`.")
        for name in sorted(environment)
        if name.startswith(PREFIX) and name not in variables
    ]
    for setting, kind in all_settings():
        if flags.get(setting.name) is not None:
            values[setting.name] = flags[setting.name]
        elif setting.name == "database_url" and not environment.get(variable(setting), "-").strip():
            problems.append(  # someone wanted to name a database: never use the default instead
                Problem(variable(setting), f"{variable(setting)} is empty: name a database, or unset it.")
            )
        elif text := environment.get(variable(setting), "").strip():
            try:
                values[setting.name] = kind(text)
            except ValueError:
                what = "a whole number" if kind is int else "a number"
                problems.append(
                    Problem(variable(setting), f"{variable(setting)} must be {what}, not {text!r}.")
                )
    if problems:
        raise Invalid(problems)
    return Settings(**values)
