"""Reading a column of phone numbers, on one core: forty countries, mixed spellings, 5 % garbage, 3 %
duplicates, read in Ukraine (see `phone_samples`).

Yardstick, in the same rounds: `phonenumbers` says the same about each of the first texts, one after another.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache

import phonenumbers
from phonenumbers import NumberParseException

from benchmarks.engines import Engine
from benchmarks.measure import Comparison, Plan, in_rounds
from benchmarks.phone_samples import mixed_array
from rollbook.phones.column import classify

WHAT = "read phones"
YARDSTICK = "phonenumbers, one by one"
REGION = "UA"
SEED = 7
GOAL = 40

ROWS = int(os.environ.get("PHONE_ROWS", "2000000"))
ROWS_OF_YARDSTICK = ROWS // 40


@cache
def measured(rounds: int) -> Comparison:
    """Once for all engines: no database takes part."""
    texts = mixed_array(ROWS, REGION, SEED)
    some = texts[:ROWS_OF_YARDSTICK].to_pylist()
    classify(texts[:1000], REGION)  # the table is built or loaded
    rates = in_rounds(
        f"{WHAT}, {ROWS:,} texts",
        Plan(rounds=rounds),
        {
            "ours": lambda: _rate(lambda: classify(texts, REGION), len(texts)),
            "phonenumbers": lambda: _rate(
                lambda: [by_phonenumbers(text, REGION) for text in some], len(some)
            ),
        },
    )
    return Comparison(WHAT, YARDSTICK, "none", 0, rates["ours"], rates["phonenumbers"], GOAL)


def run(plan: Plan, engine: Engine) -> list[Comparison]:
    """Measure as planned; only with the first of several engines."""
    return [measured(plan.rounds)] if engine.name == plan.engines[0] else []


def by_phonenumbers(text: str, region: str) -> tuple[str, str | None, int] | None:
    """Digits of E.164, region and type of a valid number: what the column finds, by the same policy."""
    for reading, where in ((text, region), (f"+{text}", None)):
        try:
            number = phonenumbers.parse(reading, where)
        except NumberParseException:
            number = None
        if (
            number is not None
            and phonenumbers.is_possible_number(number)
            and phonenumbers.is_valid_number(number)
        ):
            digits = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
            return digits, phonenumbers.region_code_for_number(number), phonenumbers.number_type(number)
        if "+" in text or not text[:1].isdigit():
            break
    return None


def _rate(work: Callable[[], object], rows: int) -> float:
    started = time.perf_counter()
    work()
    return rows / (time.perf_counter() - started)


if __name__ == "__main__":
    from benchmarks.report import main

    main(run)
