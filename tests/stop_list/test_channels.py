"""What is a channel, and which of them make a member count as stopped."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from rollbook import channels
from rollbook.db import Database, Rows, Transaction


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ("sms", ("sms",)),
        (" SMS , Viber ,", ("sms", "viber")),
        (["whatsapp", "RCS\t", "whatsapp"], ("whatsapp", "rcs")),
    ],
    ids=["one", "a text", "several"],
)
def test_channels_are_read_in_any_case_each_once(names: str | Sequence[str], found: tuple[str, ...]) -> None:
    assert channels.parse(names, called="types") == found


@pytest.mark.parametrize(
    ("names", "wrong"),
    [("", "empty"), (" , ", "empty"), ([], "empty"), ("sms,Fax", "'fax'"), (["sms,viber"], "'sms,viber'"),
     ([""], "''"), (["x" * 41], f"'{'x' * 40}...'")],
    ids=["nothing", "commas", "none", "another", "two in one", "an empty one", "a long one"],
)  # fmt: skip
def test_what_is_not_a_channel_is_named_in_one_sentence(names: str | Sequence[str], wrong: str) -> None:
    sentence = f"must be any of sms, viber, rcs, whatsapp, not {wrong}"
    with pytest.raises(ValueError, match=f"^The types {re.escape(sentence)}\\.$"):
        channels.parse(names, called="types")
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        channels.parse(names)


def test_sql_counts_a_mask_as_the_counted_channels_have_it(db: Database) -> None:
    masks = list(range(16))

    def counted(tx: Transaction) -> list[int]:
        rows = tx.rows("given", mask="bigint")
        sql = f"SELECT {channels.counted_bit('mask')} FROM {rows} ORDER BY mask"
        return tx.all(int, sql, given=Rows(mask=masks))

    expected = [int(any(name in channels.COUNTED for name in channels.names_of(mask))) for mask in masks]
    assert db.read(counted) == expected
