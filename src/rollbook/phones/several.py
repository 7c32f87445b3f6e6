"""Texts with several numbers, or with letters among the digits, which libphonenumber would read as an
extension or as digits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

EXTENSION_DIGITS_MAX = 6
"""The longest extension: more digits are a separate number."""

UNLABELLED_DIGITS_MAX = 5
"""The longest extension that is separated only by a semicolon, a comma or a bar."""

DIGITS_MIN = 14
"""The fewest digits of a text in which only spaces and dashes separate two numbers."""

CUTS_MAX = 8
"""At most this many separators of one kind are tried as cuts; no cell contains more numbers."""

VANITY_LETTERS_MIN = 3
"""Fewer letters are not a word that stands for digits."""

_PARAMETER = re.compile(r";(?:phone-context|isub|tsp)=[^;]{0,250}", re.IGNORECASE)
_RUN = re.compile(r"[(\[+\d][\d\s().\-/\[\]]*+")
_BARE = re.compile(r"\s{0,9}[;,|&]\s{0,9}")
_LABELLED = re.compile(
    r"(?:;ext=|,,|[\s.,;:/(-]{0,9}(?:e?xt(?:ensi[oó]n?|n)?|доб|anexo|int|[x#~])[\s.:)]{0,9})\d{1,6}#?\)?\s{0,9}$",
    re.IGNORECASE,
)
_HARD = re.compile(r"[\n/]")
_SOFT = (re.compile(r"\s{1,9}-{1,9}\s{1,9}"), re.compile(r"\s{1,9}"))
_MARK = re.compile(
    r"[\s.,-]{0,9}(?:[(\[]\s{0,9}\d{1,2}\s{0,9}[)\]]|\s\d{1,2}[)\]]|/\s{0,9}\d{1,2})[\s.]{0,9}$"
)
_TEL = re.compile(r"^\s{0,9}tel:", re.IGNORECASE)
_AROUND = " -./\n["
_FIRST = re.compile(r"[+\d]")
_GROUP = re.compile(r"[^\W_]++")
_LETTER = re.compile(r"[^\W\d_]")

MARK_DIGITS_MAX = 2
"""The most digits of a mark that counts a number."""

MARK_CHARACTERS_MAX = 40
"""The longest mark that may count a number, with the spaces around it."""

Reads = Callable[[str], bool]
"""Returns whether a text by itself is a number."""


def numbers(text: str, reads: Reads) -> list[str]:
    """The numbers in a plain text that contains two or more; else an empty list.

    A part with 7 or more digits, or one that is a number by itself, is not an extension of the number before
    it.

    Args:
        reads: returns whether a text is a number that its plan assigns.
    """
    text = _PARAMETER.sub("", text)
    found: list[str] = []
    end = 0
    for match in islice(_RUN.finditer(text), 2 * CUTS_MAX):
        bare = found and _BARE.fullmatch(text[end : match.start()])
        most = UNLABELLED_DIGITS_MAX if bare else EXTENSION_DIGITS_MAX
        for piece in _pieces(match[0], reads):
            part = piece.strip(_AROUND)
            if (digits := _digits(part)) > most or (digits > 1 and reads(part)):
                found.append(part)
        end = match.end()
    return found if len(found) > 1 else []


def without_mark(text: str) -> str | None:
    """A plain text without the mark after the number that counts it, such as (2), 1) and /2; `None` if there
    is none."""
    mark = _MARK.search(text[-MARK_CHARACTERS_MAX:])
    return (text[: len(text) - len(mark[0])] or None) if mark else None


def without_letters(text: str) -> str | None:
    """A plain text with spaces instead of the letters after its first digit, except those of an extension;
    `None` if there are no such letters."""
    first = _FIRST.search(text)
    if first is None:
        return None
    rest = _LABELLED.sub("", _PARAMETER.sub("", text[first.start() :]))
    return _LETTER.sub(" ", rest) if _LETTER.search(rest) else None


def has_letters(text: str) -> bool:
    """Whether a plain text has letters other than a leading `tel:` and an extension at the end."""
    return bool(_LETTER.search(_LABELLED.sub("", _PARAMETER.sub("", _TEL.sub("", text)))))


def fill_their_groups(text: str) -> bool:
    """Whether letters may stand for digits as in 1-800-FLOWERS: they are whole groups of Latin letters, at
    least 3 in number."""
    first = _FIRST.search(text)
    groups = _GROUP.findall(text[first.start() :] if first else text)
    lettered = [group for group in groups if _LETTER.search(group)]
    return (
        all(group.isascii() and group.isalpha() for group in lettered)
        and sum(map(len, lettered)) >= VANITY_LETTERS_MIN
    )


def _pieces(run: str, reads: Reads) -> Iterator[str]:
    """Cut a run of digits and punctuation where one number ends and another begins."""
    run = run.strip(_AROUND)
    if _digits(run) >= DIGITS_MIN:
        whole = reads(run)
        for separator, hard in ((_HARD, True), *((soft, False) for soft in _SOFT)):
            if whole and not hard:
                break
            for match in islice(separator.finditer(run), CUTS_MAX):
                left, right = run[: match.start()], run[match.end() :]
                if min(_digits(left), _digits(right)) <= EXTENSION_DIGITS_MAX:
                    continue
                if (hard and not whole) or (reads(left) and any(map(reads, _beginnings(right)))):
                    yield left
                    yield from _pieces(right, reads)
                    return
    yield run


def _beginnings(text: str) -> Iterator[str]:
    """The text itself, and the part of it before each of its first separators."""
    yield text
    for separator in (_HARD, *_SOFT):
        for match in islice(separator.finditer(text), CUTS_MAX):
            if _digits(text[: match.start()]) > EXTENSION_DIGITS_MAX:
                yield text[: match.start()]


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))
