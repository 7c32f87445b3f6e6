"""Whatever a text is, every entry reads it as the same phone that files do, or refuses it."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import cast

import pyarrow as pa
import pytest

from rollbook import numbers, phones, search
from rollbook.api import stop_list
from rollbook.api.gate import Gate
from rollbook.api.wire import Call, Options
from rollbook.errors import Invalid
from rollbook.phones import one
from rollbook.phones.column import classify
from rollbook.search import Column, Criterion
from tests.phones.nasty import Nasty

PHONE = Column("phone", "contact.phone", ("like", "="))
PASTED = [
    "{}.0", "{}.00", "{},0", "'{}", '="{}"', "tel:{}", "tel:{};ext=5", "00{}", "+{}", "+00{}", "0{}", "{} Eva", "{}/7",
    "{} ext. 12", "{};{}", "{}, 12345", "{}.5", "\u202a{}\u202c", "{}\ufeff", "{}\u00a0", "{}e0", "{}E1", "-{}", "({})",
    "{}0", "{} {}", "{}\n", "{}\t1", "\uff0b{}", "={}",
]  # fmt: skip
BETWEEN = ["", " ", "-", "\u2009", "\u2011", "\u2212", ".", "\u00ad", "\ufe0f", "\u200b", "/", ") ("]
OTHER_DIGITS = ["0123456789", "\uff10\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18\uff19",
                "\u0660\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668\u0669"]  # fmt: skip


def texts(count: int) -> list[str]:
    """Whole numbers in spellings that people paste, and what is hard to read."""
    chance = random.Random("entries")
    found = [text for region in ("UA", "DE", "BR", "US") for text in Nasty(region, seed=21).texts(count // 8)]
    for region in ("UA", "US", "DE", "GB", "ID", "CI"):
        nasty = Nasty(region, seed=22)
        for _ in range(count // 12):
            digits = nasty.code + "".join(chance.choices("0123456789", k=chance.randint(7, 11)))
            at, between = chance.randint(1, len(digits) - 1), chance.choice(BETWEEN)
            spelled = f"{digits[:at]}{between}{digits[at:]}".translate(
                str.maketrans("0123456789", chance.choice(OTHER_DIGITS))
            )
            found.append(chance.choice(PASTED).replace("{}", spelled))
    return found


def by_search(text: str) -> int | None:
    """Of a search; one for what no plan has finds nothing but those digits."""
    try:
        found = search.condition({"phone": PHONE}, Criterion("phone", "=", text)).operand
    except Invalid:
        return None
    assert isinstance(found, int)
    return found if found and one.read(str(found), None).verdict.possible else None


def by_check(text: str) -> int | None:
    [found] = numbers.check([text], None)
    return found.phone if found.possible or found.valid else None


def by_parse(text: str) -> int | None:
    try:
        return phones.parse(text)
    except phones.BadPhone:
        return None


def by_like(text: str) -> int | None:
    """Of a search for a part, where the part is a whole phone."""
    try:
        digits = str(search.condition({"phone": PHONE}, Criterion("phone", "like", text)).operand)
    except Invalid:
        return None
    return int(digits) if digits and digits[0] != "0" and by_parse(digits) else None


ENTRIES: dict[str, Callable[[str], int | None]] = {
    "create, upsert, members, stops, --person": by_parse,
    "search =": by_search,
    "search like": by_like,
    "numbers check": by_check,
}


@pytest.fixture(scope="module")
def read() -> dict[str, int]:
    """Every text, and the phone that a file without a region has there; 0 for none."""
    some = list(dict.fromkeys(texts(6_000)))
    found = classify(pa.array(some, pa.string()))
    return dict(zip(some, found.phone.tolist(), strict=True))


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_reads_the_phone_that_files_read_or_refuses(entry: str, read: dict[str, int]) -> None:
    said = {text: ENTRIES[entry](text) for text in read}
    wrong = [(text, said[text], phone) for text, phone in read.items() if said[text] not in (None, phone)]
    if entry == "search like":  # a part of a phone need not be one that files read
        wrong = [(text, digits, phone) for text, digits, phone in wrong if phone]
    assert wrong == []
    assert sum(phone is not None for phone in said.values()) > len(said) / 10


def test_every_entry_reads_one_number_that_is_spelled_well(read: dict[str, int]) -> None:
    for text in (
        "+380 67 111 22 33",
        "00380671112233",
        "380671112233.0",
        "tel:+380-67-111-22-33",
        "\u202a380671112233",
    ):
        assert {entry: each(text) for entry, each in ENTRIES.items()} == dict.fromkeys(
            ENTRIES, 380671112233
        ), text


def test_a_stop_takes_every_possible_phone_whatever_the_service_asks_of_contacts() -> None:
    call = Call(cast("Gate", None), Options(phone_check="valid"), 1, 1, 0, {}, False)
    with pytest.raises(phones.BadPhone, match="in no range"):
        call.phone(380000000001)
    write = stop_list.add(call, stop_list.StopsAdd(["+380 00 000 00 01"], ["sms"]))
    assert cast("partial[object]", write.fn).keywords["phones"] == [380000000001]
