r"""A parser for the patterns of numbering plans.

The metadata of libphonenumber describes a plan by regular expressions over digits, in a small dialect:
digits, `\d`, sets, groups, `|`, `?`, `{n}`, `{n,m}` and `$`. A pattern that uses more is an error here, and
the tables leave the numbers of that plan to `phonenumbers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ANY_DIGIT = 0b11_1111_1111
"""A set of digits has one bit for each digit; this is `\\d`."""


class UnknownPattern(ValueError):
    """A pattern uses more than the known dialect; the message says what."""


@dataclass(frozen=True)
class Digit:
    """One digit of a set, which has one bit for each digit."""

    allowed: int


@dataclass(frozen=True)
class End:
    """`$`: nothing may follow."""


@dataclass(frozen=True)
class Series:
    """Parts that follow each other."""

    parts: Sequence[Node]


@dataclass(frozen=True)
class Choice:
    """Alternatives; the first one that fits is preferred."""

    options: Sequence[Node]


@dataclass(frozen=True)
class Repeat:
    """A greedy repetition."""

    part: Node
    least: int
    most: int


@dataclass(frozen=True)
class CapturingGroup:
    """A capturing group; groups are counted from 1."""

    number: int
    part: Node


Node = Digit | End | Series | Choice | Repeat | CapturingGroup


def parse(pattern: str) -> Node:
    """Parse a pattern into its parts.

    Raises:
        UnknownPattern: it uses more than the known dialect.
    """
    return _PatternParser(pattern).parse()


def groups_of(node: Node) -> int:
    """The number of groups in a pattern."""
    match node:
        case CapturingGroup(_, part):
            return 1 + groups_of(part)
        case Repeat(part, _, _):
            return groups_of(part)
        case Series(parts) | Choice(parts):
            return sum(map(groups_of, parts))
        case _:
            return 0


class _PatternParser:
    """Reads one pattern, from left to right."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.groups = 0

    def parse(self) -> Node:
        node = self._choice()
        if self.at < len(self.pattern):
            raise self._unknown()
        return node

    def _choice(self) -> Node:
        options = [self._series()]
        while self._take("|"):
            options.append(self._series())
        return options[0] if len(options) == 1 else Choice(options)

    def _series(self) -> Node:
        parts: list[Node] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            parts.append(self._repeated(self._atom()))
        return parts[0] if len(parts) == 1 else Series(parts)

    def _atom(self) -> Node:
        if self._take("(?:"):
            return self._closed(self._choice())
        if self.pattern.startswith("(?", self.at):
            raise self._unknown()
        if self._take("("):
            self.groups += 1
            number = self.groups
            return CapturingGroup(number, self._closed(self._choice()))
        if self._take("$"):
            return End()
        if self._take("["):
            return Digit(self._set())
        return Digit(self._digits())

    def _closed(self, node: Node) -> Node:
        if not self._take(")"):
            raise self._unknown()
        return node

    def _digits(self) -> int:
        r"""Read `7` or `\d` as a set."""
        if self._take("\\d"):
            return ANY_DIGIT
        letter = self.pattern[self.at : self.at + 1]
        if not ("0" <= letter <= "9"):
            raise self._unknown()
        self.at += 1
        return 1 << int(letter)

    def _set(self) -> int:
        """Read the rest of a set after `[`."""
        allowed = 0
        while not self._take("]"):
            first = self._digits()
            if self._take("-"):
                # All bits from the first digit to the last, both included.
                last = self._digits()
                if ANY_DIGIT in (first, last) or last < first:
                    raise self._unknown()
                first = last * 2 - first
            allowed |= first
        return allowed

    def _repeated(self, node: Node) -> Node:
        if self._take("?"):
            least, most = 0, 1
        elif self._take("{"):
            least = most = self._number()
            if self._take(","):
                most = self._number()
            if not self._take("}") or most < least:
                raise self._unknown()
        else:
            return node
        # A second mark would make the first one lazy or possessive: `??`, `{2}?`, `{2}+`.
        if self.pattern[self.at : self.at + 1] in ("?", "+", "*", "{"):
            raise self._unknown()
        return Repeat(node, least, most)

    def _number(self) -> int:
        began = self.at
        while "0" <= self.pattern[self.at : self.at + 1] <= "9":
            self.at += 1
        if began == self.at:
            raise self._unknown()
        return int(self.pattern[began : self.at])

    def _take(self, text: str) -> bool:
        if not self.pattern.startswith(text, self.at):
            return False
        self.at += len(text)
        return True

    def _unknown(self) -> UnknownPattern:
        return UnknownPattern(f"cannot read {self.pattern!r} at {self.pattern[self.at :]!r}")
