"""What the service sends to a process that works on imports: first what it may use, then each import."""

from __future__ import annotations

import msgspec

from rollbook.config import Settings

ALIVE, BEGUN, ENDED = b".", b"+", b"\n"
"""What it answers: that it goes on; that it is ready; that it does not work on what it was told any more."""


class ImportLimits(msgspec.Struct, frozen=True):
    """What the work on an import may take.

    Args:
        stall_seconds: after so long without progress its worker is ended; 0 for never.
        memory_bytes_max: of a worker's own data; files that it maps do not count. 0 for no limit.
        cpu_seconds_max: of the processors' time for one attempt; 0 for no limit.
        decoded_bytes_max: of all cells of the file, as they are read.
        rejects_bytes_max: of the file of rejected rows; further ones are only counted.
        free_bytes_min: on the disk of the spool.
    """

    stall_seconds: float = 300.0
    memory_bytes_max: int = 0
    cpu_seconds_max: int = 0
    decoded_bytes_max: int = 34_359_738_368
    rejects_bytes_max: int = 67_108_864
    free_bytes_min: int = 0


class ImportOrder(msgspec.Struct, frozen=True):
    """What a worker works with."""

    database_url: str
    spool_dir: str
    limits: ImportLimits


def limits_of(settings: Settings) -> ImportLimits:
    """The limits that the settings say."""
    return ImportLimits(
        stall_seconds=settings.import_stall_seconds,
        memory_bytes_max=settings.import_memory_bytes_max,
        cpu_seconds_max=settings.import_cpu_seconds_max,
        decoded_bytes_max=settings.import_decoded_bytes_max,
        rejects_bytes_max=settings.import_rejects_bytes_max,
        free_bytes_min=settings.spool_free_bytes_min,
    )


FLAGS = (
    "import_stall_seconds",
    "import_memory_bytes_max",
    "import_cpu_seconds_max",
    "import_decoded_bytes_max",
    "import_rejects_bytes_max",
    "spool_free_bytes_min",
)
"""The settings that these are."""
