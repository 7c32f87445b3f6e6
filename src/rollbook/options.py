"""What callers can say, each option in one place: the flags of commands, the parameters of HTTP, the OpenAPI
document and the check are made of it. Errors name an option with `mention`; the edge that shows them
spells it."""

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
"""What every program can hold exactly."""

_BEGIN, _END = "\ufdd0", "\ufdd1"
"""Around an option in a text. These are no characters, and meant for such use inside of a program."""
_WHOLE = re.compile("[0-9]{1,16}")
_MENTION = re.compile(f"{_BEGIN}([a-z_]+)(?:=([^{_BEGIN}{_END}]*))?{_END}")


@dataclass(frozen=True, slots=True)
class Option:
    """Something that callers can say.

    Args:
        name: over HTTP; the flag is the same with dashes.
        about: what it says, in a sentence for people. Other options in it: `mention`.
        kind: a text; one of `choices`; a switch that is off; true, false or not said; a whole number.
        takes: what its value is, where the kind does not say it: "the name of a sheet".
        read: the value of a text that was sent.
        many: it may be said more than once; `read` then gives a tuple, and these are put together.
        choices: of a choice, or of the parts of a text.
        default: what holds when it is not said.
        low, high: the least number, and the greatest.
        blank: white space is a value.
        metavar: what stands for the value in the help of a command.
        edges: who takes it.
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
        """Its value where it is not given."""
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
        """The value that one text says.

        Raises:
            ValueError: it says none; the sentence tells what there is.
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
        """The value that all its texts say; see `value`."""
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
    """What was said over HTTP.

    Args:
        options: that there are.
        given: for each name its texts.

    Returns:
        For every option its value, the default where nothing was said; and everything that is wrong.
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
    """What there is in place of what is not: `there are a, b`."""
    return f"there are {listing}" if (listing := ", ".join(names)) else "there are none here"


def any_of(words: Sequence[str]) -> str:
    """Some words as a sentence has them: `a, b or c`."""
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def mention(name: str, value: str | None = None) -> str:
    """An option in a text, spelled by the edge that shows it: `--sheet Berlin`, or `sheet=Berlin` over HTTP.

    Args:
        name: of the option.
        value: that it might have; `true` and `false` are those of a switch.
    """
    if value is None:
        return f"{_BEGIN}{name}{_END}"
    return f"{_BEGIN}{name}={value.replace(_BEGIN, '').replace(_END, '')}{_END}"


def as_flags(text: str) -> str:
    """A text with its options as a shell takes them."""
    return _MENTION.sub(lambda found: _flag(found[1], found[2]), text)


def as_parameters(text: str) -> str:
    """A text with its options as parameters of HTTP."""
    return _MENTION.sub(lambda found: found[1] if found[2] is None else f"{found[1]}={found[2]}", text)


def _flag(name: str, value: str | None) -> str:
    if value is None or value == "true":
        return flag(name)
    return flag(f"no_{name}") if value == "false" else f"{flag(name)} {shlex.quote(value)}"
