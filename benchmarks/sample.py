"""What every measurement writes, the service and its yardsticks alike."""

from __future__ import annotations

NAME = "list {number}"
NAME_NUMBERS = (10**14, 10**15 - 1)
"""Names are told apart by 15 digits at random: among a million, one repeat has a chance of 1 in 1800."""

DESCRIPTION = "Everyone who ordered this year"

LISTS = 1000
"""How many lists there are where lists are read."""
