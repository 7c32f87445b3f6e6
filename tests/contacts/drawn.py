"""What a step of the property tests of the address book may be given."""

from __future__ import annotations

import itertools

from hypothesis import strategies as st

from tests.model import CHANNELS

PHONES = [380_000_000_001 + number for number in range(12)]
LIST_NAMES = ["Customers", "customers", "Staff", "\u041f\u043e\u043a\u0443\u043f\u0446\u0456", "VIP 100%"]
FIELD_NAMES = ["City", "Age", "Born", "Note"]
TEXTS = [
    "", "  ", "Kyiv", "kyiv", "Stra\u00dfe", "STRASSE", "12", "012.50", "-3", "-0", "9", "2022-04-28", "2022-04-28 00:00:00",
    "2022-04-28T14:21:16+02:00", "50%_off",
]  # fmt: skip

which_account = st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2])
nth = st.integers(0, 63)
"""Picks an id: most of the time one of the account, else any that was ever made, or one that never was."""
nths = st.lists(nth, min_size=1, max_size=4)
phone = st.sampled_from(PHONES)
phones = st.lists(phone, min_size=1, max_size=5)
channel_sets = st.sampled_from(
    [names for size in range(1, 5) for names in itertools.combinations(CHANNELS, size)]
)
text = st.none() | st.sampled_from(TEXTS)
description = st.sampled_from([None, "those who pay", "those who do not"])
some_values = st.lists(st.tuples(nth, text), max_size=2)
some_lists = st.lists(nth, max_size=3)
a_contact = st.tuples(phone, some_lists, some_values)
comparison = st.sampled_from(["=", ">", ">=", "<", "<="])
some_digits = st.sampled_from(["380000000001", "38", "1", "12", "00000001", "7"])
a_phone_criterion = st.tuples(st.just("phone"), st.sampled_from(["like", "="]), st.none(), some_digits)
a_criterion = st.one_of(
    st.tuples(st.just("id"), comparison, nth, st.none()),
    a_phone_criterion,
    st.tuples(
        st.just("created_at"), comparison, st.none(), st.sampled_from(["2000-01-01", "now", "2199-12-31"])
    ),
)
a_contact_criterion = st.one_of(
    a_criterion,
    st.tuples(st.just("group_id"), st.just("="), nth, st.none()),
    st.tuples(st.just("field"), st.sampled_from(["like", "=", "<", ">="]), nth, st.sampled_from(TEXTS)),
)
a_stop_criterion = a_criterion | st.tuples(
    st.just("type"), st.just("="), st.none(), st.sampled_from(CHANNELS)
)
a_list_criterion = st.one_of(
    st.tuples(st.just("id"), comparison, nth, st.none()),
    st.tuples(st.just("items"), comparison, st.none(), st.sampled_from("01234")),
    st.tuples(
        st.just("name"), st.sampled_from(["like", "="]), st.none(), st.sampled_from([*LIST_NAMES, "s"])
    ),
    a_phone_criterion,
    a_phone_criterion,
)
a_page = st.tuples(st.integers(1, 3), nth)
"""How many rows, and the row of the keyset page; `looks` makes several pages of it."""
