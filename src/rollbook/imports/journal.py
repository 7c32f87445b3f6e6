"""The journal: records what each chunk of an import did, so that undo can take it back.

Contacts that a chunk created need no list: their ids are consecutive, from its `first_id` on. The ids of
contacts that existed before are stored as compressed differences: 2 bytes each instead of 8.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from rollbook.db import Transaction


class Chunk(msgspec.Struct, frozen=True):
    """The changes of one transaction.

    Args:
        place: the place of its first row in the stage; chunks that only removed members come after all rows.
        rows_staged: how many rows of the stage it covers.
        first_id, contacts: the first id of the contacts that it created, and how many there are.
        joined: existing contacts that joined the list, packed.
        removed: contacts that it took out of the list, packed.
        refused: the places of rows that it left out, packed.
    """

    place: int
    rows_staged: int
    first_id: int = 0
    contacts: int = 0
    joined: str = ""
    removed: str = ""
    refused: str = ""


def write(tx: Transaction, account_id: int, import_id: int, chunk: Chunk) -> None:
    """Record a chunk, in the same transaction as its changes."""
    tx.run(
        """
        INSERT INTO import_chunk (
            account_id, import_id, place, rows_staged, first_id, contacts, joined, removed, refused
        ) VALUES (
            :account_id, :import_id, :place, :rows_staged, :first_id, :contacts, :joined, :removed, :refused
        )
        """,
        account_id=account_id,
        import_id=import_id,
        **msgspec.structs.asdict(chunk),
    )


def last(tx: Transaction, account_id: int, import_id: int) -> Chunk | None:
    """The latest chunk that is still recorded; `None` when there is none."""
    return tx.one(
        Chunk,
        """
        SELECT place, rows_staged, first_id, contacts, joined, removed, refused FROM import_chunk
        WHERE account_id = :account_id AND import_id = :import_id ORDER BY place DESC LIMIT 1
        """,
        account_id=account_id,
        import_id=import_id,
    )


def rewrite(tx: Transaction, account_id: int, import_id: int, chunk: Chunk) -> None:
    """Record only the rest of a chunk; a chunk without a rest is deleted."""
    row = "account_id = :account_id AND import_id = :import_id AND place = :place"
    named = {"account_id": account_id, "import_id": import_id, "place": chunk.place}
    if chunk.contacts or chunk.joined or chunk.removed:
        tx.run(
            f"""
            UPDATE import_chunk SET contacts = :contacts, joined = :joined, removed = :removed WHERE {row}
            """,
            contacts=chunk.contacts,
            joined=chunk.joined,
            removed=chunk.removed,
            **named,
        )
    else:
        tx.run(f"DELETE FROM import_chunk WHERE {row}", **named)


def refused(tx: Transaction, account_id: int, import_id: int) -> list[int]:
    """The places of all rows of the stage that were left out when they were merged."""
    packed = tx.all(
        str,
        """
        SELECT refused FROM import_chunk
        WHERE account_id = :account_id AND import_id = :import_id AND refused <> '' ORDER BY place
        """,
        account_id=account_id,
        import_id=import_id,
    )
    return [int(place) for text in packed for place in unpack(text)]


def pack(numbers: NDArray[np.int64] | Sequence[int]) -> str:
    """Integers as text."""
    values = np.sort(np.asarray(numbers, np.int64))
    if not len(values):
        return ""
    return base64.b85encode(zlib.compress(np.diff(values, prepend=0).astype("<i8").tobytes(), 1)).decode()


def unpack(text: str) -> NDArray[np.int64]:
    """The integers of a packed text, ascending."""
    if not text:
        return np.zeros(0, np.int64)
    differences = np.frombuffer(zlib.decompress(base64.b85decode(text)), "<i8")
    return np.cumsum(differences, dtype=np.int64)
