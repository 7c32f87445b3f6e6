"""Uploads: files in requests, written to the spool as they arrive, whatever their size."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import falcon

from rollbook import paths
from rollbook.api.errors import ApiError
from rollbook.api.incoming import Request
from rollbook.imports.spool import Spool

PIECE_BYTES = 256 * 1024
"""How many bytes are read and written at a time."""

FIELD_BYTES_MAX = 64 * 1024
"""The largest part of a form other than the file."""

PARTS_MAX = 100

LOOK_BYTES = 8 * 1024 * 1024
"""How much may arrive before the free space on the disk is checked again."""

SLOT_RETRY_SECONDS = 10
DISK_RETRY_SECONDS = 60


@dataclass
class Upload:
    """An uploaded file, complete and on disk.

    Args:
        path: where it is until the request is answered.
        size_bytes: its size.
        name: the name that the sender gave it; "" if none.
        fields: the other parts of a form, each with all of its values.
        digest: the digest of the file and the fields, if it was requested.
    """

    path: Path
    size_bytes: int = 0
    name: str = ""
    fields: dict[str, list[str]] = field(default_factory=dict)
    digest: bytes = b""


class Uploads:
    """Receives files.

    Args:
        spool: where files are written.
        bytes_max: the largest size of one file.
        most: how many files of an account may arrive at once.
        free_bytes_min: how much space must stay free on the disk.
    """

    def __init__(self, spool: Spool, bytes_max: int, *, most: int, free_bytes_min: int) -> None:
        self._spool = spool
        self._bytes_max = bytes_max
        self._most = most
        self._free_bytes_min = free_bytes_min
        self._under_way: Counter[int] = Counter()

    @asynccontextmanager
    async def received(self, req: Request, account_id: int, *, hashed: bool) -> AsyncIterator[Upload]:
        """The file in a request: its body, or the part `file` of a form (multipart/form-data). It is deleted
        at the end of the block; other names that were given to it by then stay.

        Raises:
            ApiError: 400 for a request without a body, 413 for a file that is too large, 422 for a form
                without a file, 429 where the account has too many uploads under way, 507 for a disk that is
                full or would be.
        """
        if req.content_length is None and req.get_header("Transfer-Encoding") is None:
            raise ApiError(400, "There is no file: send it as the body, with Content-Length or in chunks.")
        if (req.content_length or 0) > self._bytes_max + FIELD_BYTES_MAX * PARTS_MAX:
            raise self._too_large()
        try:
            with self._slot(account_id):
                async with self._file(req, hashed=hashed) as upload:
                    yield upload
        except OSError as error:
            raise _no_room(f"The disk did not take the file: {error.strerror or error}.") from error

    @contextmanager
    def _slot(self, account_id: int) -> Iterator[None]:
        if self._under_way[account_id] >= self._most:
            raise ApiError(
                429,
                f"{self._most} files of this account are on their way (--uploads-max); try again later.",
                headers={"Retry-After": str(SLOT_RETRY_SECONDS)},
            )
        self._under_way[account_id] += 1
        try:
            yield
        finally:
            self._under_way[account_id] -= 1
            if not self._under_way[account_id]:
                del self._under_way[account_id]

    @asynccontextmanager
    async def _file(self, req: Request, *, hashed: bool) -> AsyncIterator[Upload]:
        path, file = self._spool.incoming()
        upload = Upload(path)
        digest = hashlib.sha256() if hashed else None
        try:
            with file:
                self._must_fit(req.content_length or 0)
                if (req.content_type or "").partition(";")[0].strip().lower() == "multipart/form-data":
                    await self._form(req, upload, file, digest)
                else:
                    await self._write(_pieces(req.stream), upload, file, digest)
                await req.see_the_end()
                await asyncio.to_thread(paths.store, file)
            if digest is not None:
                upload.digest = digest.digest()
            yield upload
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
        looked = 0
        async for piece in pieces:
            upload.size_bytes += len(piece)
            if upload.size_bytes - looked > LOOK_BYTES:
                looked = upload.size_bytes
                self._must_fit(0)
            if upload.size_bytes > self._bytes_max:
                raise self._too_large()
            file.write(piece)
            if digest is not None:
                digest.update(piece)

    def _must_fit(self, size_bytes: int) -> None:
        if self._spool.free_bytes() - size_bytes < self._free_bytes_min:
            raise _no_room(
                f"The disk has no room for the file: {self._free_bytes_min} bytes of it must stay free "
                "(--spool-free-bytes-min)."
            )

    def _too_large(self) -> ApiError:
        return ApiError(413, f"The file is larger than {self._bytes_max} bytes (--import-bytes-max).")


def _no_room(why: str) -> ApiError:
    return ApiError(507, why, headers={"Retry-After": str(DISK_RETRY_SECONDS)})


async def _pieces(stream: Any) -> AsyncIterator[bytes]:
    while piece := await stream.read(PIECE_BYTES):
        yield piece
