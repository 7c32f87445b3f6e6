from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from rollbook.files import ReadOptions, open_table
from tests.files.reading import read


@pytest.mark.parametrize(
    ("value", "type_", "text"),
    [
        (380500000001, pa.int64(), "380500000001"),
        (18446744073709551615, pa.uint64(), "18446744073709551615"),
        (380500000001.0, pa.float64(), "380500000001"),
        (9007199254740991.0, pa.float64(), "9007199254740991"),
        (1.5, pa.float64(), "1.5"),
        (0.1, pa.float32(), "0.10000000149011612"),
        (-0.0, pa.float64(), "0"),
        (float("nan"), pa.float64(), None),
        (Decimal("380500000001.00"), pa.decimal128(20, 2), "380500000001"),
        (Decimal("1.50"), pa.decimal128(20, 2), "1.5"),
        (Decimal("100"), pa.decimal128(20, 0), "100"),
        (True, pa.bool_(), "true"),
        (None, pa.string(), None),
        (None, pa.null(), None),
        ("", pa.string(), ""),
        ("Їжак", pa.large_string(), "Їжак"),
        (b"abc", pa.binary(), "abc"),
        ("abc", pa.dictionary(pa.int32(), pa.string()), "abc"),
        (datetime.date(2026, 1, 31), pa.date32(), "2026-01-31"),
        (datetime.datetime.fromisoformat("2026-01-31"), pa.timestamp("ns"), "2026-01-31"),
        (datetime.datetime.fromisoformat("2026-01-31T10:30:00"), pa.timestamp("ms"), "2026-01-31T10:30:00"),
        (
            datetime.datetime.fromisoformat("2026-01-31T10:30:00.500"),
            pa.timestamp("us"),
            "2026-01-31T10:30:00.5",
        ),
        (
            datetime.datetime(2026, 1, 31, 10, 30, tzinfo=datetime.UTC),
            pa.timestamp("us", "UTC"),
            "2026-01-31T10:30:00Z",
        ),
        (datetime.time(10, 30), pa.time32("s"), "10:30:00"),
        ([1, 2], pa.list_(pa.int64()), "[1,2]"),
        ({"a": "b"}, pa.struct([("a", pa.string())]), '{"a":"b"}'),
        ([("a", 1)], pa.map_(pa.string(), pa.int64()), '[["a",1]]'),
    ],
)
def test_values_of_any_type_are_text(
    tmp_path: Path, value: Any, type_: pa.DataType, text: str | None
) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"phone": pa.array([1]), "x": pa.array([value], type_)}), path)
    whole = read(path)
    assert whole.columns == ["phone", "x"]
    assert whole.rows == [["1", text]]
    assert whole.about["format"] == "parquet"


def test_row_groups_are_read_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "file without a telling name"
    parquet.write_table(pa.table({"phone": range(10_000)}), path, row_group_size=3_000)
    with open_table(path, ReadOptions(batch_rows=1_000)) as table:
        batches = list(table.batches())
        assert table.sample[0] == ["0"]
        assert len(table.sample) == 100
    assert all(batch.cells.num_rows <= 1_000 for batch in batches)
    assert [line for batch in batches for line in batch.lines] == list(range(1, 10_001))
    assert batches[-1].bytes_done == table.size_bytes


def test_no_rows(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"phone": pa.array([], pa.string())}), tmp_path / "a.parquet")
    whole = read(tmp_path / "a.parquet")
    assert (whole.columns, whole.rows) == (["phone"], [])


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"phone": pa.array([b"\xff\xfe"])}), tmp_path / "a.parquet")
    with pytest.raises(
        Exception, match="The column 'phone' of the Parquet file holds bytes that are not text"
    ):
        read(tmp_path / "a.parquet")
