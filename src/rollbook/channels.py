"""Channels: the ones on which a phone can be stopped, and the masks that store several of them."""

from __future__ import annotations

from collections.abc import Iterable

CHANNELS = {"sms": 1, "viber": 2, "rcs": 4, "whatsapp": 8}
"""Every channel and its bit. Bits are stored in databases: never give a bit a new meaning."""

MASK_BITS = len(CHANNELS)
"""How many bits a mask has."""

COUNTED = ("sms", "viber")
"""A member whose phone is stopped on one of these channels, or more, counts once in a list's
`stop_list_count`."""

QUOTED_CHARACTERS_MAX = 40
"""A message quotes at most this many characters of a text that is not a channel."""


def parse(names: str | Iterable[str], called: str = "") -> tuple[str, ...]:
    """Read the names of channels, in any case and with white space around them.

    Args:
        names: separate names, or one comma-separated text.
        called: the name of the input for the message, such as `reachable`.

    Returns:
        Keys of `CHANNELS`, each once, in the order of `CHANNELS`.

    Raises:
        ValueError: there is no name, or a name is not a channel. Without `called` the caller puts the name of
            the input before the message.
    """
    if isinstance(names, str):
        names = [name for name in names.split(",") if name.strip()]
    found = tuple(dict.fromkeys(name.strip().lower() for name in names))
    wrong = [repr(_shortened(name)) for name in found if name not in CHANNELS]
    if wrong or not found:
        sentence = f"must be any of {', '.join(CHANNELS)}, not {wrong[0] if wrong else 'empty'}"
        raise ValueError(f"The {called} {sentence}." if called else sentence)
    return found


def mask_of(names: Iterable[str]) -> int:
    """The mask of channels.

    Raises:
        KeyError: one of `names` is not a key of `CHANNELS`; see `parse`.
    """
    mask = 0
    for name in names:
        mask |= CHANNELS[name]
    return mask


def names_of(mask: int) -> list[str]:
    """The channels of a mask."""
    return [name for name, bit in CHANNELS.items() if mask & bit]


def stopped(channel: str, column: str) -> str:
    """SQL: the mask in `column` has the channel. The partial indexes of `stop_list` have the same
    condition."""
    return f"{column} & {CHANNELS[channel]} <> 0"


def bit(channel: str, column: str) -> str:
    """SQL: 1 where the mask in `column` has the channel, else 0."""
    return f"(({column} >> {CHANNELS[channel].bit_length() - 1}) & 1)"


def counted_bit(column: str) -> str:
    """SQL: 1 where the mask in `column` has one of the `COUNTED` channels, else 0."""
    return f"({' | '.join(bit(channel, column) for channel in COUNTED)})"


def _shortened(name: str) -> str:
    return name if len(name) <= QUOTED_CHARACTERS_MAX else f"{name[:QUOTED_CHARACTERS_MAX]}..."
