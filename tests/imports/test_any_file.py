"""Whatever is in a file: a dry run says what a real run does, and undo gives back what was."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollbook import accounts, stop_list
from rollbook.channels import CHANNELS
from rollbook.db import Database
from rollbook.imports import worker
from tests.calls import PHONE
from tests.imports.desk import Desk, phone
from tests.length import sized

EXAMPLES = sized(20, 40, "IMPORT_EXAMPLES")

NUMBERS = st.integers(1, 25)
CELLS = st.one_of(
    NUMBERS.map(phone),
    NUMBERS.map(lambda number: f"00{PHONE + number}"),
    NUMBERS.map(lambda number: f" +{PHONE + number} "),
    st.sampled_from(["", "abc", "12", "3.80E+11", "+1 202 555 0123", "2025550199", "+999123456789"]),
)
CITIES = st.sampled_from(["", "Kyiv", "Rome", " Oslo", "Zürich", "x" * 256])
ROWS = st.lists(st.tuples(CELLS, CITIES), max_size=30)
CHANNEL_SETS = st.lists(st.sampled_from(list(CHANNELS)), min_size=1, max_size=4, unique=True)
SPECS = st.fixed_dictionaries(
    {
        "list": st.sampled_from([None, "Customers", "Others"]),
        "mode": st.sampled_from(["add", "update", "replace"]),
        "create_fields": st.booleans(),
        "phone_check": st.sampled_from(["possible", "valid"]),
        "region": st.sampled_from([None, "US"]),
        "stop": st.sampled_from([(), (), ("sms",), ("viber", "rcs")]),
    }
).filter(lambda spec: spec["mode"] != "replace" or spec["list"])


@pytest.mark.sized
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    before=ROWS,
    stops=st.lists(NUMBERS, max_size=8, unique=True),
    channels=CHANNEL_SETS,
    rows=ROWS,
    spec=SPECS,
    chunk=st.sampled_from([1, 3, 50]),
)
def test_a_dry_run_counts_what_a_real_run_does_and_undo_gives_back_what_was(
    db: Database,
    before: list[tuple[str, str]],
    stops: list[int],
    channels: list[str],
    rows: list[tuple[str, str]],
    spec: dict[str, Any],
    chunk: int,
) -> None:
    account = db.write(accounts.create, name=f"account {os.urandom(8).hex()}")
    with TemporaryDirectory() as folder:
        desk = Desk(db, account, Path(folder))
        desk.done(_csv([(phone(0), ""), *before]), list="Others", create_fields=True)
        if stops:
            desk.db.write(
                stop_list.add,
                desk.account_id,
                phones=[PHONE + number for number in stops],
                channels=channels,
            )
        book, counts = desk.book(), desk.counts()
        worker.CHUNK_ROWS_FIRST, usual = chunk, worker.CHUNK_ROWS_FIRST
        try:
            dry = desk.imported(_csv(rows), dry_run=True, **spec)
        finally:
            worker.CHUNK_ROWS_FIRST = usual
        assert (desk.book(), desk.counts()) == (book, counts), "a dry run changed something"
        import_ = desk.imported(_csv(rows), **spec)
        assert (dry.state, _same(dry.error)) == (import_.state, _same(import_.error))
        assert _counted(dry) == _counted(import_)
        assert not desk.drift()
        report = import_.report
        if import_.state == "done":
            assert import_.rows_read == report.duplicates + report.rows_rejected + (
                report.created + report.updated + report.unchanged + report.not_in_book + report.only_stopped
            )
        else:
            assert (desk.book(), desk.counts()) == (book, counts), "a failed import changed something"
        undone = desk.undone(import_)
        assert undone.state == "undone"
        assert not desk.drift()
        now = desk.counts()
        if not spec["stop"] and not report.fields_created:
            assert now == counts
        after = desk.book()
        assert after["contacts"].keys() == book["contacts"].keys()
        assert after["members"] == book["members"]
        assert (
            after["stops"].items()
            >= {
                number: mask for number, mask in book["stops"].items() if after["stops"].get(number) == mask
            }.items()
        )


def _csv(rows: list[tuple[str, str]]) -> str:
    return "\n".join(["phone,City", *(f"{number},{city}" for number, city in rows)]) + "\n"


def _same(error: str | None) -> str:
    """An error without the name of the file."""
    return (error or "").partition(".csv")[2]


def _counted(import_: Any) -> Any:
    return msgspec.structs.replace(import_.report, seconds={}, field_ids=[])
