"""Options of reading and importing files, as flags of commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import click

from rollbook.errors import Invalid
from rollbook.options import NUMBER_MAX, Option, as_flags


class _Value(click.ParamType[Any]):
    """The checked value of an option that is a text."""

    def __init__(self, option: Option) -> None:
        self._option = option
        self.name = option.metavar.lower()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self._option.value(value)
        except ValueError as error:
            self.fail(as_flags(str(error)), param, ctx)
        except Invalid as error:
            self.fail(as_flags(str(error)), param, ctx)


def option_flags(options: Sequence[Option]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the flags of `options`; the command gets their checked values by name."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            if "cli" in option.edges:
                command = _flag(option)(command)
        return command

    return decorate


def _flag(option: Option) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    about = as_flags(option.about)
    if option.kind == "switch":
        return click.option(option.flag, option.name, is_flag=True, help=about)
    if option.kind == "either":
        names = f"{option.flag}/--no-{option.flag.removeprefix('--')}"
        return click.option(names, option.name, default=None, help=about)
    kind: click.ParamType[Any] = _Value(option)
    if option.kind == "choice":
        kind = click.Choice(option.choices, case_sensitive=False)
    elif option.kind == "number":
        kind = click.IntRange(option.low, None if option.high == NUMBER_MAX else option.high)
    return click.option(
        option.flag,
        option.name,
        type=kind,
        multiple=option.many,
        default=None if option.many else option.default,
        show_default=option.default is not None,
        metavar={"text": option.metavar, "number": "N"}.get(option.kind),
        callback=_together if option.many else None,
        help=about,
    )


def _together(_: click.Context, __: click.Parameter, values: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    return tuple(part for value in values for part in value)
