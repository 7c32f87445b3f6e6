"""Spelling of phone numbers: turns what people and programs write into one plain spelling.

Invisible characters are removed (format characters, variation selectors, the ring of a keycap); every kind of
space becomes a space, every dash a dash, every decimal digit one of 0 to 9. Then the marks that spreadsheets
put around a number are removed.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SIGNS = {
    "+": "\ufe62\u207a\u2795",
    "-": "\u2043\u207b\u2212\u2796\u30fc\u02d7",
    ".": "\u00b7\u2022\u2024\u2027\u2219\u22c5\u30fb\uff65",
    "(": "\u207d\ufe59",
    ")": "\u207e\ufe5a",
    "/": "\u2044\u2215",
    "'": "\u2018\u2019\u02bc",
    '"': "\u201c\u201d\u201e\u00ab\u00bb",
    " ": "\u2800\t\x1c\x1d\x1e\x1f",
    "\n": "\r\v\f\x85\u2028\u2029",
}
_SIGN_OF = {ord(letter): sign for sign, letters in _SIGNS.items() for letter in letters}
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u20e3\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Invisible characters besides those of the category Cf."""

WIDE = range(0xFF01, 0xFF5F)
"""Full-width forms of ASCII."""

_SCIENTIFIC = re.compile(r"(\+?\d{1,250}+)(?:[.,](\d{0,250}+))?[eE]\+?(\d{1,2})", re.ASCII)
_LOOKS_SCIENTIFIC = re.compile(r"[+-]?\d{1,250}+(?:[.,]\d{0,250}+)?[eE][+-]?\d{1,250}+", re.ASCII)
_GROUPED = re.compile(r"\+?\d{1,3}(?:,\d{3}){2,9}(?:\.\d{0,250}+)?", re.ASCII)
WHOLE_DIGITS_MIN = 9
"""With at least this many digits before a single dot, the digits after it are a fraction."""

_FRACTION = re.compile(
    r"(\+?\d{1,250})\.0|(\+?\d{9,250})[.,]0{0,250}|(\+?\d{1,3}(?:([ .'])\d{3}){2,9}),0{0,250}", re.ASCII
)
_BROKEN = re.compile(r"\+?\d{9,250}\.\d{1,250}", re.ASCII)


class NoDigits(ValueError):
    """A text has lost digits; the argument is one of `verdict.REASONS`."""


def plain(text: str) -> str:
    """The same text with ASCII digits, signs and spaces, and without invisible characters."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_plain, text))


@lru_cache(4096)
def _plain(letter: str) -> str:
    code = ord(letter)
    if code in _SIGN_OF:
        return _SIGN_OF[code]
    if code < 0x80:
        return letter
    if code in WIDE:
        return chr(code - 0xFEE0)
    category = unicodedata.category(letter)
    if category == "Cf" or _UNSEEN.match(letter):
        return ""
    if category == "Nd":
        return str(unicodedata.decimal(letter))
    return {"Zs": " ", "Pd": "-"}.get(category, letter)


def cleaned(text: str) -> str:
    """A text in plain spelling, without the marks that spreadsheets put around a number: white space, marks
    of a text (a leading apostrophe, quotes, `="..."`), a fraction of zeros only, commas between thousands.
    Scientific notation is replaced by its digits.

    Raises:
        NoDigits: `scientific_notation` if it has lost digits, or `not_a_number` if there is a fraction.
    """
    text = plain(text).strip()
    if text.startswith('="'):
        text = text[1:]
    if (quote := text[:1]) in ("'", '"'):
        text = text[1:].removesuffix(quote).strip()
    if text[-1:].isdigit():
        if found := _SCIENTIFIC.fullmatch(text):
            text = _unfolded(*found.groups(default=""))
        elif _LOOKS_SCIENTIFIC.fullmatch(text):
            raise NoDigits("scientific_notation")
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    if fraction := _FRACTION.fullmatch(text):
        return fraction[1] or fraction[2] or fraction[3]
    if _BROKEN.fullmatch(text):
        raise NoDigits("not_a_number")
    return text


def _unfolded(whole: str, fraction: str, exponent: str) -> str:
    """The digits of a number in scientific notation."""
    places = int(exponent)
    if len(fraction) < places or fraction[places:].strip("0"):
        raise NoDigits("scientific_notation")
    return whole + fraction[:places]
