"""CSV that an engine writes itself: the cells of a row, and the pieces in which the rows come."""

from __future__ import annotations

from typing import NamedTuple

PIECE_ROWS = 5_000
"""Rows that come at once: some 250 KB. More are no faster, and cost memory."""


class Cell(NamedTuple):
    """SQL of one value of each row.

    Args:
        sql: a whole number or a text; NULL becomes an empty cell.
        quoted: it stands in quotation marks: a text that may hold a comma or a line break. Never an empty
            one, which would read as NULL.
    """

    sql: str
    quoted: bool = False


class Piece(NamedTuple):
    """Whole rows as CSV: RFC 4180 in UTF-8, a line feed behind each row."""

    rows: int
    data: bytes
