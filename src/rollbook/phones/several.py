"""More than one number in a text, and letters among its digits: what libphonenumber would make an extension
or digits of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice

EXTENSION_DIGITS_MAX = 6
"""More are a number of their own."""

UNLABELLED_DIGITS_MAX = 5
"""Of an extension that only a semicolon, a comma or a bar sets apart."""

DIGITS_MIN = 14
"""Of a text in which nothing but spaces and dashes may stand between two numbers."""

CUTS_MAX = 8
"""Places of one kind at which a text is tried to be cut; nobody writes more numbers into a cell."""

VANITY_LETTERS_MIN = 3
"""Fewer are no word that stands for digits."""

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
"""Of a mark that counts a number."""

MARK_CHARACTERS_MAX = 40
"""Of what may count a number, with the spaces around it."""

Reads = Callable[[str], bool]
"""Whether a text alone is a number."""


def numbers(text: str, reads: Reads) -> list[str]:
    """The numbers in a plain text where there are two or more; else nothing.

    What has 7 or more digits, or is a number by itself, is no extension of the number before it.

    Args:
        reads: whether a text is a number that its plan assigns.
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
    """A plain text without a mark behind the number that counts it, such as (2), 1) and /2; `None` where
    there is none."""
    mark = _MARK.search(text[-MARK_CHARACTERS_MAX:])
    return (text[: len(text) - len(mark[0])] or None) if mark else None


def without_letters(text: str) -> str | None:
    """A plain text with spaces for the letters that stand behind its first digit, an extension aside; `None`
    where there are none."""
    first = _FIRST.search(text)
    if first is None:
        return None
    rest = _LABELLED.sub("", _PARAMETER.sub("", text[first.start() :]))
    return _LETTER.sub(" ", rest) if _LETTER.search(rest) else None


def has_letters(text: str) -> bool:
    """Whether there are letters in a plain text, but for `tel:` in front and an extension behind."""
    return bool(_LETTER.search(_LABELLED.sub("", _PARAMETER.sub("", _TEL.sub("", text)))))


def fill_their_groups(text: str) -> bool:
    """Whether letters may stand for digits as in 1-800-FLOWERS: groups of nothing but Latin letters, and 3 of
    them."""
    first = _FIRST.search(text)
    groups = _GROUP.findall(text[first.start() :] if first else text)
    lettered = [group for group in groups if _LETTER.search(group)]
    return (
        all(group.isascii() and group.isalpha() for group in lettered)
        and sum(map(len, lettered)) >= VANITY_LETTERS_MIN
    )


def _pieces(run: str, reads: Reads) -> Iterator[str]:
    """A run of digits and punctuation, cut where one number ends and another begins."""
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
    """A text, and what stands in it before each of its first separators."""
    yield text
    for separator in (_HARD, *_SOFT):
        for match in islice(separator.finditer(text), CUTS_MAX):
            if _digits(text[: match.start()]) > EXTENSION_DIGITS_MAX:
                yield text[: match.start()]


def _digits(text: str) -> int:
    return sum(map(str.isdigit, text))
