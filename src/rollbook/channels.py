"""The channels that a phone can be stopped on, and the masks in which several of them are kept."""

from __future__ import annotations

from collections.abc import Iterable

CHANNELS = {"sms": 1, "viber": 2, "rcs": 4, "whatsapp": 8}
"""Every channel and its bit. Bits are stored: never give one a new meaning."""

COUNTED = CHANNELS["sms"] | CHANNELS["viber"]
"""A phone stopped on any of these counts, once, in a list's `stop_list_count`."""


def mask_of(names: Iterable[str]) -> int:
    """The mask of some channels.

    Raises:
        KeyError: one of `names` is no channel.
    """
    mask = 0
    for name in names:
        mask |= CHANNELS[name]
    return mask


def names_of(mask: int) -> list[str]:
    """The channels of a mask."""
    return [name for name, bit in CHANNELS.items() if mask & bit]


def checked(names: Iterable[str]) -> tuple[str, ...]:
    """Channels by their names in any case, each once.

    Raises:
        ValueError: none is named, or one that there is not; the sentence tells what there is.
    """
    known = ", ".join(CHANNELS)
    found = [name.strip().lower() for name in names]
    if not found:
        raise ValueError(f"No channel is named; there are {known}.")
    if unknown := [name for name in found if name not in CHANNELS]:
        raise ValueError(f"There is no channel {unknown[0]!r}; there are {known}.")
    return tuple(dict.fromkeys(found))


def read(text: str) -> tuple[str, ...]:
    """The channels that a text names, comma-separated, each once.

    Raises:
        ValueError: it names none, or one that there is not; the sentence tells what there is.
    """
    return checked(part for part in text.split(",") if part.strip())


def stopped(channel: str, column: str) -> str:
    """SQL: the mask in `column` has the channel. As the partial indexes of `stop_list` have it."""
    return f"{column} & {CHANNELS[channel]} <> 0"


def bit(channel: str, column: str) -> str:
    """SQL: 1 where the mask in `column` has the channel, else 0."""
    return f"(({column} >> {CHANNELS[channel].bit_length() - 1}) & 1)"


def counted_bit(column: str) -> str:
    """SQL: 1 where the mask in `column` has one of the `COUNTED` channels, else 0."""
    return f"(({column} | ({column} >> 1)) & 1)"
