"""CSV that the engines format themselves: the cells of a row, and the pieces in which rows arrive."""

from __future__ import annotations

from typing import NamedTuple

PIECE_ROWS = 5_000
"""The rows of one piece, about 250 KB. Larger pieces are not faster, and cost memory."""


class Cell(NamedTuple):
    """One cell of each row.

    Args:
        sql: the SQL of a whole number or a text; NULL becomes an empty cell.
        quoted: whether to put it in quotation marks, for a text that may contain a comma or a line break. The
            text must not be empty, since that would read as NULL.
    """

    sql: str
    quoted: bool = False


class Piece(NamedTuple):
    """Whole rows as CSV: RFC 4180 in UTF-8, with a line feed after each row."""

    rows: int
    data: bytes
