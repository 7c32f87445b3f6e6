"""Texts of phone numbers that are hard to read: right, nearly right, and wrong in every known way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache

import phonenumbers
from phonenumbers import PhoneMetadata

from rollbook.phones.plans.patterns import CapturingGroup, Choice, Digit, End, Node, Repeat, Series, parse

TYPES = [
    "general_desc",
    "fixed_line",
    "mobile",
    "toll_free",
    "premium_rate",
    "shared_cost",
    "personal_number",
    "voip",
    "pager",
    "uan",
    "voicemail",
]
SPACES = ("", "", "", " ", "-", ".", "/", "\u00a0", "  ", " - ", "\u2011", "\t")
JUNK_BEFORE = (
    "'",
    "' ",
    "\t",
    "\ufeff",
    "tel:",
    "Tel. ",
    "(",
    "-",
    "*",
    '"',
    "=",
    "\u202a",
    "~",
    "x",
    "''",
    ")",
)
JUNK_AFTER = (
    "'",
    " ",
    "\n",
    "\r\n",
    ";",
    ",",
    ".0",
    ".00",
    ".0 ",
    ",0",
    " ext 12",
    "x5",
    "#",
    ")",
    "*",
    " /x2",
)
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")
WIDE = str.maketrans("0123456789+", "０１２３４５６７８９＋")

DIGITS = ["".join(str(digit) for digit in range(10) if allowed >> digit & 1) for allowed in range(1024)]
"""Of each set."""

parsed = cache(parse)


def spelled(pattern: str, chance: random.Random) -> str:
    """Any text that the pattern matches."""
    return "".join(_spelled(parsed(pattern), chance))


def _spelled(node: Node, chance: random.Random) -> Iterator[str]:
    match node:
        case Digit(allowed):
            yield chance.choice(DIGITS[allowed])
        case Series(parts):
            for part in parts:
                yield from _spelled(part, chance)
        case Choice(options):
            yield from _spelled(chance.choice(options), chance)
        case Repeat(part, least, most):
            for _ in range(chance.randint(least, most)):
                yield from _spelled(part, chance)
        case CapturingGroup(_, part):
            yield from _spelled(part, chance)
        case End():
            pass


class Nasty:
    """Texts as a person in a region, or somebody who knows nothing, would write them.

    Args:
        region: two letters.
        seed: the same gives the same texts.
    """

    def __init__(self, region: str, seed: int = 1) -> None:
        self.chance = random.Random(f"{region} {seed}")
        home = PhoneMetadata.metadata_for_region(region, None)
        assert home is not None
        self.home = home
        self.code = str(home.country_code)
        self.patterns = self._patterns(home)
        codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
        self.siblings = [
            known
            for other in codes[int(self.code)]
            if (known := PhoneMetadata.metadata_for_region(other, None)) is not None
        ]
        self.all_codes = sorted(codes)
        self.prefixes = [
            text for text in (home.national_prefix_for_parsing, home.national_prefix) if text is not None
        ] or ["0"]
        self.idds = [home.international_prefix or "00", "00", "011"]

    def texts(self, count: int) -> list[str]:
        return [self.text() for _ in range(count)]

    def text(self) -> str:
        roll = self.chance.random()
        if roll < 0.7:
            return self._dressed(self._dialled())
        if roll < 0.9:
            return self._dialled()
        return self._odd(self._dialled())

    def _dialled(self) -> str:
        """Digits, with what may stand before them."""
        chance = self.chance
        number = self._national()
        roll = chance.random()
        if roll < 0.3:
            return self._prefix() + number
        if roll < 0.45:
            return number
        if roll < 0.55:
            return self.code + (self._prefix() if chance.random() < 0.4 else "") + number
        if roll < 0.63:
            return "+" + self.code + (self._prefix() if chance.random() < 0.4 else "") + number
        if roll < 0.72:
            idd = spelled(chance.choice(self.idds), chance)
            return ("+" if chance.random() < 0.2 else "") + idd + self._foreign()
        if roll < 0.82:
            return ("+" if chance.random() < 0.5 else "") + self._foreign()
        if roll < 0.9:
            return self._prefix() + self._prefix() + number
        front = chance.choice(("", "+", "0", "00", self.code, "+" + self.code, "+0", "+00"))
        return front + self._digits(chance.randint(0, 19))

    def _national(self) -> str:
        number = spelled(self.chance.choice(self.patterns), self.chance)
        roll = self.chance.random()
        if roll < 0.6:
            return number
        if roll < 0.75:  # a slip of the finger
            at = self.chance.randrange(len(number))
            return number[:at] + self._digits(1) + number[at + 1 :]
        if roll < 0.83:
            return number[: -self.chance.randint(1, 3)]
        if roll < 0.91:
            return number + self._digits(self.chance.randint(1, 3))
        return self._digits(self.chance.randint(2, 13))

    def _foreign(self) -> str:
        code = self.chance.choice(self.all_codes)
        if self.chance.random() < 0.15:
            return str(code) + self._digits(self.chance.randint(1, 13))
        region = self.chance.choice(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code])
        known = PhoneMetadata.metadata_for_region_or_calling_code(code, region)
        assert known is not None
        prefix = known.national_prefix or "" if self.chance.random() < 0.2 else ""
        return str(code) + prefix + spelled(self.chance.choice(self._patterns(known)), self.chance)

    def _prefix(self) -> str:
        return spelled(self.chance.choice(self.prefixes), self.chance)

    def _dressed(self, text: str) -> str:
        """With spaces and brackets in it."""
        chance = self.chance
        between = chance.choice(SPACES)
        parts = [text[:1] if text.startswith("+") else ""]
        digits = text.removeprefix("+")
        while digits:
            size = chance.choice((2, 3, 3, 4))
            part, digits = digits[:size], digits[size:]
            if chance.random() < 0.15:
                part = f"({part})"
            parts.append(part)
            parts.append(between)
        if parts[-1] == between and chance.random() < 0.9:
            parts.pop()
        if chance.random() < 0.05:
            parts.insert(0, " ")
        return "".join(parts)

    def _odd(self, text: str) -> str:
        chance = self.chance
        roll = chance.random()
        if roll < 0.3:
            return chance.choice(JUNK_BEFORE) + text
        if roll < 0.6:
            return text + chance.choice(JUNK_AFTER)
        if roll < 0.7:
            return chance.choice(JUNK_BEFORE) + self._dressed(text) + chance.choice(JUNK_AFTER)
        if roll < 0.75:
            return text.translate(ARABIC)
        if roll < 0.8:
            return text.translate(WIDE)
        if roll < 0.9:
            at = chance.randint(0, len(text))
            return (
                text[:at]
                + chance.choice(("+", "+", "x", "e", "#", "*", ",", "'", "\n", "０", "é"))
                + text[at:]
            )
        if roll < 0.93:
            return f"tel:{text};phone-context=+{self.code}"
        if roll < 0.96:
            return f"{chance.randint(1, 9)}.{self._digits(chance.randint(0, 5))}E+{chance.randint(9, 14)}"
        return chance.choice(
            ("", " ", "+", "n/a", "1-800-FLOWERS", "12", "1 2", "(12)", "123", "+12", "112", "000")
        )

    def _digits(self, count: int) -> str:
        return "".join(self.chance.choices("0123456789", k=count))

    @staticmethod
    def _patterns(known: PhoneMetadata) -> list[str]:
        descriptions = (getattr(known, name) for name in TYPES)
        return [
            each.national_number_pattern for each in descriptions if each and each.national_number_pattern
        ]
