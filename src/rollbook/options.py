"""Options: each is declared once, and flags, HTTP parameters, the OpenAPI document and checks derive from it.

Errors name an option with `mention`; the edge that shows an error spells it as a flag or as a parameter.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rollbook.config import flag
from rollbook.errors import Invalid, Problem

Kind = Literal["text", "choice", "switch", "either", "number"]

NUMBER_MAX = 2**53 - 1
"""The largest whole number that every client can hold exactly."""

_BEGIN, _END = "\ufdd0", "\ufdd1"
"""The marks around an option in a text: Unicode noncharacters, reserved for such use within a program."""
_WHOLE = re.compile("[0-9]{1,16}")
_MENTION = re.compile(f"{_BEGIN}([a-z_]+)(?:=([^{_BEGIN}{_END}]*))?{_END}")


@dataclass(frozen=True, slots=True)
class Option:
    """One option that callers can give.

    Args:
        name: the name over HTTP; the flag is the same with dashes.
        about: its description, a sentence for people. It names other options with `mention`.
        kind: a text; one of `choices`; a switch that is off by default; true, false or absent; a whole
            number.
        takes: a description of the value, where the kind is not enough: "the name of a sheet".
        read: turns the text that was sent into the value.
        many: whether it may be given more than once; `read` then returns tuples, which are concatenated.
        choices: the allowed values, or the allowed parts of a text.
        default: the value when it is not given.
        low, high: the smallest and the largest number.
        blank: whether white space is a valid value.
        metavar: the placeholder for the value in the help of a command.
        edges: the edges that accept it: commands, HTTP, or both.
    """

    name: str
    about: str
    kind: Kind = "text"
    takes: str = ""
    read: Callable[[str], Any] = str.strip
    many: bool = False
    choices: tuple[str, ...] = ()
    default: Any = None
    low: int = 0
    high: int = NUMBER_MAX
    blank: bool = False
    metavar: str = "TEXT"
    edges: tuple[Literal["cli", "http"], ...] = ("cli", "http")

    @property
    def flag(self) -> str:
        """`--phone-check` for `phone_check`."""
        return flag(self.name)

    @property
    def absent(self) -> Any:
        """The value when the option is not given."""
        return () if self.many else False if self.kind == "switch" else self.default

    @property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of its value over HTTP."""
        schema: dict[str, Any] = {"type": _TYPES[self.kind]}
        if self.kind == "number":
            schema |= {"minimum": self.low, "maximum": self.high}
        if self.choices:
            schema["enum"] = [*self.choices]
        if self.many:
            schema = {"type": "array", "items": schema}
        if self.kind in ("choice", "number") and self.default is not None:
            schema["default"] = self.default
        return schema

    def value(self, text: str) -> Any:
        """Read the value from one text.

        Raises:
            ValueError: the text is not a value; the message says which values are allowed.
        """
        if not (text if self.blank else text.strip()):
            raise ValueError(f"The {self.name} is empty: it takes {self._takes}.")
        if self.kind == "choice":
            if (word := text.strip().lower()) not in self.choices:
                raise ValueError(f"The {self.name} must be {self._takes}, not {text!r}.")
            return word
        if self.kind in ("switch", "either"):
            if (word := text.strip().lower()) not in _BOOLEANS:
                raise ValueError(f"The {self.name} must be true or false, not {text!r}.")
            return _BOOLEANS[word]
        if self.kind == "number":
            word = text.strip()
            if not _WHOLE.fullmatch(word) or not self.low <= int(word) <= self.high:
                raise ValueError(f"The {self.name} must be {self._takes}, not {text!r}.")
            return int(word)
        return self.read(text)

    def value_of(self, texts: Sequence[str]) -> Any:
        """Read the value from all texts that were given; see `value`."""
        if self.many:
            return tuple(part for text in texts for part in self.value(text))
        if len(texts) > 1:
            raise ValueError(f"The {self.name} may be given once.")
        return self.value(texts[0])

    @property
    def _takes(self) -> str:
        if self.takes:
            return self.takes
        if self.kind == "number":
            most = "" if self.high == NUMBER_MAX else f" and at most {self.high}"
            return f"a whole number of at least {self.low}{most}"
        return any_of(self.choices or ("true", "false"))


_TYPES = {"text": "string", "choice": "string", "switch": "boolean", "either": "boolean", "number": "integer"}
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


def values(
    options: Iterable[Option], given: Mapping[str, Sequence[str]]
) -> tuple[dict[str, Any], list[Problem]]:
    """Read options that were given over HTTP.

    Args:
        options: all options that are allowed.
        given: for each name the texts that were given.

    Returns:
        The value of every option, the default for those not given; and all problems.
    """
    by_name = {option.name: option for option in options if "http" in option.edges}
    found = {name: option.absent for name, option in by_name.items()}
    problems = []
    for name, texts in given.items():
        option = by_name.get(name)
        if option is None:
            problems.append(Problem(name, f"There is no option {name}; {there_are(by_name)}."))
            continue
        try:
            found[name] = option.value_of(texts)
        except ValueError as error:
            problems.append(Problem(name, str(error)))
        except Invalid as error:
            problems += [Problem(name, problem.message) for problem in error.problems]
    return found, problems


def there_are(names: Iterable[str]) -> str:
    """The part of a message that lists the existing names: `there are a, b`."""
    return f"there are {listing}" if (listing := ", ".join(names)) else "there are none here"


def any_of(words: Sequence[str]) -> str:
    """Words joined for a sentence: `a, b or c`."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def mention(name: str, value: str | None = None) -> str:
    """Name an option in a text. The edge that shows it spells it: `--sheet Berlin`, or `sheet=Berlin` over
    HTTP.

    Args:
        name: the option's name.
        value: a value to show with it; `true` and `false` for a switch.
    """
    if value is None:
        return f"{_BEGIN}{name}{_END}"
    return f"{_BEGIN}{name}={value.replace(_BEGIN, '').replace(_END, '')}{_END}"


def as_flags(text: str) -> str:
    """Spell the options in a text as flags of a command."""
    return _MENTION.sub(lambda found: _flag(found[1], found[2]), text)


def as_parameters(text: str) -> str:
    """Spell the options in a text as HTTP parameters."""
    return _MENTION.sub(lambda found: found[1] if found[2] is None else f"{found[1]}={found[2]}", text)


def _flag(name: str, value: str | None) -> str:
    if value is None or value == "true":
        return flag(name)
    return flag(f"no_{name}") if value == "false" else f"{flag(name)} {shlex.quote(value)}"
