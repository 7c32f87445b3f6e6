"""Which columns of a file hold phones: their names propose, their cells decide."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Container, Sequence
from typing import NamedTuple

from rollbook.files.headers import looks_like_phone, says_other, score_of, words_of

Reads = Callable[[Sequence[str]], Sequence[bool]]
"""Tells which of some texts are valid phones."""

FULL = 0.5
"""Share of phones among the filled cells of a column that is full of them."""

SOME = 0.2
"""Share that is enough where the name says phone: many people have none."""

DIFFERENT = 0.25
"""Of the different cells that a column of phones has at most: one that has less is of somebody else, such as
the agent of many customers, or the sender of all messages."""

FILLED = 0.25
"""Least share of the cells that the fullest phone column has filled: a column with less is not the one that
people fill."""

ABLE_DIGITS_MIN = 3
"""Fewest digits of a cell that is read as a phone."""

CELLS_MAX, ROWS_MIN = 50_000, 5
"""Cells that are looked at; of a file with so many columns, at least so many rows."""

_MARKS = frozenset(
    (
        "yes", "no", "true", "false", "y", "n", "t", "f", "0", "1", "on", "off", "ja", "nein", "oui", "non",
        "si", "sí", "да", "нет", "так", "ні", "tak", "nie", "subscribed", "unsubscribed",
        "opted in", "opted out",
        "opt-in", "opt-out", "optin", "optout", "active", "inactive", "stop", "stopped", "blocked",
    )
)  # fmt: skip
"""Cells of a column that marks rows and names nobody."""

_NEVER = re.compile(r"fax|telefax|факс|pager|пейджер")
_NAMELESS = re.compile(r"column \d{1,6}")


_CODE_NAMES = re.compile(
    r"(\w{1,20} ){0,2}(country|calling|dial|dial+ing) (calling |dial+ing |phone )?(code|prefix)( \w{1,20})?|"
    r"countrycode|dialcode|callingcode|phonecode|phone (code|prefix)|cc|isd|isd code|idd|idd code|ddi|"
    r"landervorwahl|landesvorwahl|vorwahl land|((теле|тел)\w{0,10} )?код (страны|краіни)|"
    r"indicatif( \w{1,20}){0,2}|(codigo|prefijo|prefisso|prefixo)( \w{1,3})? (pais|internazionale)|"
    r"(prefijo|prefixo) internacional|"
    r"kierunkowy kraju|kod kraju|ulke kodu"
)
"""Names of a column of country calling codes: the words, without case and accents, a space between them."""

_CODE_WORDS = re.compile(
    r"code|prefix|country|land|vorwahl|код|pais|prefijo|prefisso|prefixo|kod|kierunkowy|kodu"
)
"""Words in the name of a column that is one if each of its cells has a plus."""

_CODE = re.compile(r"'?\(?(\+|00)?(?P<code>[1-9]\d{0,2}([ -]?\d{1,4})?)(\.0)?\)?", re.ASCII)


class PhoneColumns(NamedTuple):
    """The columns with phones.

    Args:
        phone: the one that counts; `None` when nothing looks like a phone.
        others: that are as full of phones, or called so and empty on top, but for faxes and pagers.
        further: that are phones of the same people, by their names, whether their cells are filled on top or
            not; for who wants all phones.
    """

    phone: str | None
    others: list[str]
    further: list[str]


class _Seen(NamedTuple):
    """What the cells of a column on top of the file look like.

    Args:
        filled: how many are.
        valid: share of valid phones among these.
        alike: share of cells that look like phones.
        digits: in these, on average.
        marks: all of them are yes, no and the like.
        different: how many different ones there are.
    """

    filled: int
    valid: float
    alike: float
    digits: float
    marks: bool
    different: int = 0


def phone_columns(
    columns: Sequence[str], sample: Sequence[Sequence[str | None]], reads: Reads | None = None
) -> PhoneColumns:
    """Find the columns that hold phones.

    A column whose cells are phones is chosen before one that is only called so; of several full of phones the
    one whose name says it best (`mobile` before `phone`, `phone` before `work phone` and `number`), and
    where no name says it the one with most. Where no cell is a phone the best name decides, but never a
    column of yes and no. A single column without a name, or without any row, is taken as it is.

    Args:
        columns: the names of all, as a `Table` has them.
        sample: rows from the top, a cell for each column.
        reads: recognizes valid phones; without it, phones are recognized by their form.
    """
    if list(columns) == ["column 1"] or (len(columns) == 1 and not sample):
        return PhoneColumns(columns[0], [], [])
    scores = [score_of(column) for column in columns]
    seen = _seen_of_all(len(columns), sample[: max(ROWS_MIN, CELLS_MAX // max(1, len(columns)))], reads)

    def holding(shares: Sequence[float]) -> list[int]:
        return [
            place
            for place, share in enumerate(shares)
            if share >= FULL or (scores[place] and share >= SOME)
        ]  # fmt: skip

    by_cells = holding([one.valid for one in seen]) or holding([one.alike for one in seen])
    full = set(by_cells)
    most = max((seen[place].filled for place in by_cells), default=0)
    fullest = [place for place in by_cells if seen[place].filled >= most * FILLED]
    different = max((seen[place].different for place in fullest), default=0)
    fullest = [place for place in fullest if seen[place].different >= different * DIFFERENT]
    by_name = [place for place, score in enumerate(scores) if score and not seen[place].marks]
    best = max((scores[place] for place in by_name), default=0)
    among = fullest or [place for place in by_name if scores[place] == best]
    chosen = max(
        among, key=lambda place: _rank(columns[place], scores[place], seen[place], place), default=None
    )
    if chosen is None:
        return PhoneColumns(None, [], [])
    further: list[str] = []
    others: list[str] = []
    for place, column in enumerate(columns):
        if place != chosen:
            if _is_further(column, scores[place], seen[place], place in full):
                further.append(column)
                others.append(column)
            elif place in full and not _is_never(column):
                others.append(column)
    return PhoneColumns(columns[chosen], others, further)


def guess_phone_column(
    columns: Sequence[str], sample: Sequence[Sequence[str | None]], reads: Reads | None = None
) -> str | None:
    """The column that counts; see `phone_columns`."""
    return phone_columns(columns, sample, reads).phone


def code_column(
    columns: Sequence[str], sample: Sequence[Sequence[str | None]], able: Container[str]
) -> str | None:
    """The column of country calling codes that stand apart from their numbers: it is called so, and little
    else is in it. Of several the first; `None` if there is none.

    Args:
        able: those that it may be.
    """
    for place, column in enumerate(columns):
        words = words_of(column) if column in able else []
        named = _CODE_NAMES.fullmatch(" ".join(words)) is not None
        if not named and not any(map(_CODE_WORDS.fullmatch, words)):
            continue
        filled = [cell.strip() for row in sample if (cell := row[place]) and cell.strip()]
        codes = [cell for cell in filled if _is_code(cell) and (named or "+" in cell)]
        if codes and len(codes) >= len(filled) * (FULL if named else 1):
            return column
    return None


def _is_code(cell: str) -> bool:
    # Not before somebody asks: it takes what reads phones.
    from rollbook.phones.calling_codes import is_code

    found = _CODE.fullmatch(cell)
    return found is not None and is_code(found["code"].replace(" ", "").replace("-", ""))


def _rank(column: str, score: float, seen: _Seen, place: int) -> tuple[float, ...]:
    name = -1 if says_other(column) else score
    return (
        name,
        -len(words_of(column)) if score else 0,
        seen.valid,
        seen.alike,
        seen.filled,
        seen.digits,
        -place,
    )


def _is_further(column: str, score: float, seen: _Seen, holds: bool) -> bool:
    if _NAMELESS.fullmatch(column) or (seen.valid >= FULL and not says_other(column)):
        return holds
    if score >= 2:
        return holds or not seen.filled
    return holds and score > 0


def _is_never(column: str) -> bool:
    return any(_NEVER.fullmatch(word) for word in words_of(column))


def _seen_of_all(width: int, sample: Sequence[Sequence[str | None]], reads: Reads | None) -> list[_Seen]:
    """What the cells of all columns look like; those that may be phones are read at once."""
    filled = [
        [cell.strip() for row in sample if (cell := row[place]) and cell.strip()] for place in range(width)
    ]
    able = [[cell for cell in cells if sum(map(str.isdigit, cell)) >= ABLE_DIGITS_MIN] for cells in filled]
    texts = [cell for cells in able for cell in cells]
    read = iter(reads(texts) if reads is not None and texts else itertools.repeat(False, len(texts)))
    valid = [sum(map(bool, itertools.islice(read, len(cells)))) for cells in able]
    return [_seen(cells, good) for cells, good in zip(filled, valid, strict=True)]


def _seen(filled: Sequence[str], valid: int) -> _Seen:
    if not filled:
        return _Seen(0, 0, 0, 0, marks=False)
    alike = [cell for cell in filled if looks_like_phone(cell)]
    digits = sum(sum(map(str.isdigit, cell)) for cell in alike) / len(alike) if alike else 0
    return _Seen(
        len(filled),
        valid / len(filled),
        len(alike) / len(filled),
        digits,
        marks=all(cell.casefold() in _MARKS for cell in filled),
        different=len(set(filled)),
    )
