"""What the service sends to a process that works on imports: first its limits and settings, then each
import."""

from __future__ import annotations

import msgspec

from rollbook.config import Settings

ALIVE, BEGUN, ENDED = b".", b"+", b"\n"
"""What the process answers: that it is alive; that it is ready; that it has finished with an import."""


class ImportLimits(msgspec.Struct, frozen=True):
    """The limits on the work on an import.

    Args:
        stall_seconds: its worker is killed after so long without progress; 0 for never.
        memory_bytes_max: the memory for a worker's own data; files that it maps do not count. 0 for no limit.
        cpu_seconds_max: the processor time of one attempt; 0 for no limit.
        decoded_bytes_max: the size of all cells of the file, decoded.
        rejects_bytes_max: the size of the file of rejected rows; further rows are only counted.
        free_bytes_min: the space that must stay free on the disk of the spool.
    """

    stall_seconds: float = 300.0
    memory_bytes_max: int = 0
    cpu_seconds_max: int = 0
    decoded_bytes_max: int = 34_359_738_368
    rejects_bytes_max: int = 67_108_864
    free_bytes_min: int = 0


class ImportOrder(msgspec.Struct, frozen=True):
    """What a worker needs for its work."""

    database_url: str
    spool_dir: str
    limits: ImportLimits


def limits_of(settings: Settings) -> ImportLimits:
    """The limits in the settings."""
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
"""The settings of these limits."""
