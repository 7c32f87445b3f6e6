"""Files that arrive in requests: written to the spool as they come, whatever their size."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import falcon

from rollbook.api.incoming import Request
from rollbook.api.wire import ApiError
from rollbook.imports.spool import Spool

PIECE_BYTES = 256 * 1024
"""What is read and written at a time."""

FIELD_BYTES_MAX = 64 * 1024
"""Of a part of a form that is not the file."""

PARTS_MAX = 100


@dataclass
class Upload:
    """A file that arrived, complete and on disk.

    Args:
        path: where it is until the request is answered.
        size_bytes: of it.
        name: what the sender calls it; "" if nothing.
        fields: the other parts of a form, each with all of its values.
        digest: of the file and the fields, if it was wanted.
    """

    path: Path
    size_bytes: int = 0
    name: str = ""
    fields: dict[str, list[str]] = field(default_factory=dict)
    digest: bytes = b""


class Uploads:
    """Receives files.

    Args:
        spool: where they go.
        bytes_max: of one file.
    """

    def __init__(self, spool: Spool, bytes_max: int) -> None:
        self._spool = spool
        self._bytes_max = bytes_max

    @asynccontextmanager
    async def received(self, req: Request, *, hashed: bool) -> AsyncIterator[Upload]:
        """The file in a request: its body, or the part `file` of a form (multipart/form-data). It is thrown
        away at the end of the block, but for other names that it has by then.

        Raises:
            ApiError: 413 for a file that is too large, 422 for a form without one, 507 for a full disk.
        """
        if (req.content_length or 0) > self._bytes_max + FIELD_BYTES_MAX * PARTS_MAX:
            raise self._too_large()
        path, file = self._spool.incoming()
        upload = Upload(path)
        digest = hashlib.sha256() if hashed else None
        try:
            with file:
                if (req.content_type or "").partition(";")[0].strip().lower() == "multipart/form-data":
                    await self._form(req, upload, file, digest)
                else:
                    await self._write(_pieces(req.stream), upload, file, digest)
                await req.see_the_end()
                await asyncio.to_thread(_sync, file)
            if digest is not None:
                upload.digest = digest.digest()
            yield upload
        except OSError as error:
            raise ApiError(507, f"The disk did not take the file: {error.strerror or error}.") from error
        finally:
            path.unlink(missing_ok=True)

    async def _form(self, req: Request, upload: Upload, file: BinaryIO, digest: Any) -> None:
        found = False
        try:
            form = await req.get_media()
            async for part in form:
                if part.name == "file" and not found:
                    found = True
                    upload.name = part.filename or ""
                    await self._write(_pieces(part.stream), upload, file, digest)
                else:
                    data = await part.stream.read(FIELD_BYTES_MAX + 1)
                    if len(data) > FIELD_BYTES_MAX:
                        raise ApiError(413, f"The part {part.name!r} of the form is too large.")
                    upload.fields.setdefault(part.name or "", []).append(data.decode("utf-8", "replace"))
                    if digest is not None:
                        digest.update(f"\0{part.name}\0".encode() + data)
        except falcon.MultipartParseError as error:
            why = error.description or error.title
            raise ApiError(
                400, f"The form cannot be read: {why}. It must be whole, to its closing boundary."
            ) from error
        except falcon.HTTPError as error:
            raise ApiError(400, f"The form cannot be read: {error.description or error.title}") from error
        if not found:
            raise ApiError(422, "The form has no part with the name file.")

    async def _write(self, pieces: AsyncIterator[bytes], upload: Upload, file: BinaryIO, digest: Any) -> None:
        async for piece in pieces:
            upload.size_bytes += len(piece)
            if upload.size_bytes > self._bytes_max:
                raise self._too_large()
            file.write(piece)
            if digest is not None:
                digest.update(piece)

    def _too_large(self) -> ApiError:
        return ApiError(413, f"The file is larger than {self._bytes_max} bytes (--import-bytes-max).")


async def _pieces(stream: Any) -> AsyncIterator[bytes]:
    while piece := await stream.read(PIECE_BYTES):
        yield piece


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
