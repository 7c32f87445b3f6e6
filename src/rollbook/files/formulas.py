"""Texts that a spreadsheet would run as a formula, and the mark that keeps it from that.

A cell that begins with one of `STARTS` may run a command or send what is beside it to a stranger
(https://owasp.org/www-community/attacks/CSV_Injection). Behind an apostrophe it is a text. One more is put
before what has one already, and reading a file takes one away: what went out comes back as it was.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rollbook.options import Option

if TYPE_CHECKING:
    import pyarrow as pa

MARK = "'"
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
BEFORE = f"{MARK} \u00a0\u3000"
"""Characters that may stand before them: spreadsheets drop spaces."""

SAFE = Option(
    "safe_for_spreadsheets",
    "Put an apostrophe before texts that a spreadsheet would run as a formula. The default in "
    "csv and xlsx is true.",
    "either",
)

BOM = Option("bom", "Begin a CSV with a byte order mark, so that Excel reads it as UTF-8.", "switch")

ROWS = 1_000
PIECE_BYTES = 1 << 18
"""Read at a time."""
CELL_CHARACTERS_MAX = 1 << 24

_CLASS = "".join(STARTS).replace("-", r"\-")
_RISKY = f"^([{BEFORE}]*[{_CLASS}])"
_MARKED = f"^{MARK}([{BEFORE}]*[{_CLASS}])"
_UNMARKED = f"^([{BEFORE[1:]}]*[{_CLASS}])"
_IS_RISKY, _IS_MARKED, _IS_UNMARKED = re.compile(_RISKY), re.compile(_MARKED), re.compile(_UNMARKED)


def marked(text: str) -> str:
    """A text as a spreadsheet takes it for one."""
    return f"{MARK}{text}" if _IS_RISKY.match(text) else text


def unmarked(text: str) -> str:
    """A text without the mark, if it has it."""
    return text[1:] if _IS_MARKED.match(text) else text


def guarded(text: str) -> str:
    """A text of a file with the mark, if it needs it and has none: reading it gives what it gave before."""
    return f"{MARK}{text}" if _IS_UNMARKED.match(text) else text


def guarded_column(cells: pa.Array) -> pa.Array:
    """As `guarded`, for every cell of a column of strings."""
    import pyarrow.compute as pc

    return pc.replace_substring_regex(cells, _UNMARKED, rf"{MARK}\1")


def unmarked_column(cells: pa.Array) -> pa.Array:
    """As `unmarked`, for every cell of a column of strings."""
    import pyarrow.compute as pc

    if not pc.any(pc.starts_with(cells, MARK)).as_py():
        return cells
    return pc.replace_substring_regex(cells, _MARKED, r"\1")


def csv_pieces(path: Path, *, raw: bool = False, bom: bool = False) -> Iterator[bytes]:
    """A CSV in UTF-8, in pieces.

    Args:
        raw: its cells are unmarked.
        bom: it begins with a byte order mark.
    """
    with path.open("rb") as file:
        if bom:
            yield codecs.BOM_UTF8
        if not raw:
            while piece := file.read(PIECE_BYTES):
                yield piece
            return
        csv.field_size_limit(CELL_CHARACTERS_MAX)
        reader = csv.reader(io.TextIOWrapper(file, encoding="utf-8", newline=""))
        while rows := [*islice(reader, ROWS)]:
            out = io.StringIO()
            writer = csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL)  # else it leaves \r unquoted
            writer.writerows([[*map(unmarked, row)] for row in rows])
            yield out.getvalue().encode()


def marked_in_sql(value: str) -> tuple[str, dict[str, object]]:
    """SQL: as `marked`, of a text; and its parameters."""
    starts = {f"formula_{number}": start for number, start in enumerate(STARTS)}
    among = ", ".join(f":{name}" for name in starts)
    is_risky = f"substr(ltrim({value}, :formula_before), 1, 1) IN ({among})"
    sql = f"CASE WHEN {is_risky} THEN '''' || {value} ELSE {value} END"
    return sql, {**starts, "formula_before": BEFORE}
