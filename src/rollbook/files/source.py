"""The bytes of a file, decompressed, within limits."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from rollbook.errors import BadFile
from rollbook.files import ReadOptions

EXPANSION_FREE_BYTES = 64 << 20
"""Up to here a compressed file may expand by any factor: that much is harmless, and a short file of equal
rows does."""

_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
PIECE_BYTES = 1 << 20


class Source:
    """A file as a stream of bytes, decompressed when its first bytes say that it is compressed.

    Args:
        path: of a regular file.
        options: the limits of decompression.

    Raises:
        BadFile: there is no such file, or it cannot be opened.

    Attributes:
        compression: `gzip`, `zstd` or `None`.
        size_bytes: on the disk.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.path = path
        self.size_bytes = size_of(path)
        self._options = options
        self._expanded = 0
        with about(path):
            with path.open("rb") as file:
                head = file.read(4)
            self.compression = next((name for name, magic in _MAGIC.items() if head.startswith(magic)), None)
            self._file = pa.OSFile(str(path))
        self._stream = pa.CompressedInputStream(self._file, self.compression) if self.compression else None

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def bytes_done(self) -> int:
        """How far into the file on the disk it is read."""
        return min(int(self._file.tell()), self.size_bytes)

    def read(self, size_bytes: int) -> bytes:
        """The next bytes, `b""` at the end.

        Raises:
            BadFile: the file is damaged, or expands beyond the limits.
        """
        self._options.alive()
        if self._stream is None:
            with about(self.path):
                return bytes(self._file.read(size_bytes))
        try:
            piece = bytes(self._stream.read(size_bytes))
        except OSError as error:
            raise self._damaged(error) from None
        self._expanded += len(piece)
        self._check()
        return piece

    def pieces(self, size_bytes: int = PIECE_BYTES) -> Iterator[bytes]:
        """All that is left, piece by piece."""
        while piece := self.read(size_bytes):
            yield piece

    def close(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
        self._file.close()

    def _check(self) -> None:
        limit = self._options.expanded_bytes_max
        if self._expanded > limit:
            raise BadFile(
                f"The file is larger than {_size(limit)} when decompressed, which is the limit. Split it."
            )
        if self._expanded > EXPANSION_FREE_BYTES and self._expanded > self._options.expansion_max * max(
            1, self.bytes_done
        ):
            raise BadFile(
                f"The file expands to more than {self._options.expansion_max} times its size when "
                f"decompressed (so far {_size(self.bytes_done)} became {_size(self._expanded)}). Files of "
                "contacts do not: it is taken for a decompression bomb. If it is good, decompress it first."
            )

    def _damaged(self, error: OSError) -> BadFile:
        if "runcated" in str(error):
            return BadFile(
                f"The file is cut off: its {self.compression} data ends in the middle, after "
                f"{_size(self._expanded)} of content. Get a complete copy of it."
            )
        return BadFile(
            f"The file is damaged: its {self.compression} data cannot be decompressed after "
            f"{_size(self._expanded)} of content. Get a good copy of it."
        )


def size_of(path: Path) -> int:
    """The size of a file in bytes.

    Raises:
        BadFile: it is not there or not a regular file.
    """
    with about(path):
        found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise BadFile(f"{path} is a directory. Name a file in it.")
    if not stat.S_ISREG(found.st_mode):
        raise BadFile(f"{path} is not a regular file. Save what it gives to a file first.")
    return found.st_size


@contextmanager
def about(path: Path) -> Iterator[None]:
    """Turn what the system says of a path into a sentence.

    Raises:
        BadFile: in place of an `OSError`.
    """
    try:
        yield
    except FileNotFoundError:
        raise BadFile(f"There is no file {path}.") from None
    except PermissionError:
        raise BadFile(f"{path} may not be read: permission denied.") from None
    except NotADirectoryError:
        raise BadFile(f"There is no file {path}: a part of the path is not a directory.") from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        raise BadFile(f"{path} cannot be read: {why or error}.") from None


def _size(size_bytes: int) -> str:
    for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size_bytes >= factor:
            return f"{size_bytes / factor:.0f} {unit}"
    return f"{size_bytes} bytes"
