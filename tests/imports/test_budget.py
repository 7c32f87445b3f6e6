"""What an import may take of the disk and of memory, whatever its file becomes when it is read."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from rollbook.errors import BadFile
from rollbook.files import open_table, parquet_table, vcard_table
from rollbook.imports import Import, rejects
from rollbook.imports.order import ImportLimits
from rollbook.imports.worker import Worker
from tests.imports.desk import Desk, csv_of


def parquet_of(cells: list[str]) -> bytes:
    made = io.BytesIO()
    parquet.write_table(pa.table({"phone": pa.array(cells).dictionary_encode()}), made, compression="zstd")
    return made.getvalue()


def worked(desk: Desk, import_: Import, **limits: Any) -> Import:
    return Worker(desk.db, desk.spool, limits=ImportLimits(**limits)).run(desk.account_id, import_.id)


def test_a_small_file_of_equal_cells_does_not_fill_the_disk(desk: Desk) -> None:
    content = parquet_of(["x" * 8_000] * 5_000)
    assert len(content) < 100_000
    import_ = worked(desk, desk.ask(content, "equal.parquet", list="Customers"), rejects_bytes_max=1_000_000)
    assert import_.report.rejected == {"not_a_number": 5_000}
    path = desk.spool.rejects(import_.folder)
    assert path is not None
    assert path.stat().st_size < 20_000_000
    *rows, last = list(csv.reader(path.read_text().splitlines()[1:]))
    assert all(len(",".join(row)) < 2 * rejects.ROW_BYTES_MAX for row in rows)
    assert rejects.CUT in rows[0][2]
    assert f"And {5_000 - len(rows):,} more rows" in last[2]
    assert desk.book()["contacts"] == {}


def test_a_file_that_becomes_too_much_text_fails_and_changes_nothing(desk: Desk) -> None:
    content = parquet_of(["x" * 8_000] * 5_000)
    import_ = worked(desk, desk.ask(content, "equal.parquet", list="Customers"), decoded_bytes_max=20_000_000)
    assert import_.state == "failed"
    assert "more than 20,000,000 bytes of text (--import-decoded-bytes-max)" in str(import_.error)
    assert not list(desk.spool.folder(import_.folder).glob("*.int64"))
    assert desk.book()["contacts"] == {}


def test_without_room_on_the_disk_nothing_is_imported(desk: Desk) -> None:
    import_ = worked(desk, desk.ask(csv_of(range(10)), list="Customers"), free_bytes_min=1 << 60)
    assert import_.state == "failed"
    assert "(--spool-free-bytes-min). Nothing was imported" in str(import_.error)
    assert desk.book()["contacts"] == {}


def test_short_rows_are_kept_whole_in_the_rejects(desk: Desk) -> None:
    import_ = desk.done("phone,city\nx,Kyiv\n" + "y," + "z" * 5_000 + "\n", list="Customers")
    (short, long) = list(csv.DictReader(io.StringIO(desk.rejects(import_).removeprefix("\ufeff"))))
    assert "Kyiv" in short.values()
    assert rejects.CUT not in str(short)
    assert rejects.CUT in str(long)
    assert len(str(long)) < 2 * rejects.ROW_BYTES_MAX


def batches(path: Path, content: bytes) -> list[tuple[int, int]]:
    """Rows and bytes of each batch."""
    path.write_bytes(content)
    with open_table(path) as table:
        return [(batch.cells.num_rows, batch.cells.nbytes) for batch in table.batches()]


def test_batches_are_bounded_by_bytes_and_not_only_by_rows(tmp_path: Path) -> None:
    equal = batches(tmp_path / "equal.parquet", parquet_of(["x" * 50_000] * 800))
    assert sum(rows for rows, _ in equal) == 800
    assert max(size for _, size in equal) <= 3 * parquet_table.BATCH_BYTES
    phones = "\n".join(f"TEL:+1555010{number:04}" for number in range(1_000))
    card = f"BEGIN:VCARD\nVERSION:3.0\nFN:{'n' * 20_000}\n{phones}\nEND:VCARD\n"
    cards = batches(tmp_path / "card.vcf", card.encode())
    assert sum(rows for rows, _ in cards) == 1_000
    assert max(size for _, size in cards) <= 3 * vcard_table.BATCH_BYTES
    names = "{" + ",".join(f'"n{number}":"x"' for number in range(900)) + ',"phone":"+15550100123"}\n'
    sparse = batches(tmp_path / "sparse.jsonl", names.encode() + b'{"phone":"+15550100123"}\n' * 25_000)
    assert sum(rows for rows, _ in sparse) == 25_001
    assert max(rows for rows, _ in sparse) < 20_000


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        (
            "long.parquet",
            lambda: parquet_of(["+15550100123", "x" * 3_000_000]),
            "A cell in the column 'phone'",
        ),
        (
            "short.csv",
            lambda: b"phone" + b",a" * 16_000 + b"\n" + b"+15550100123\n" * 50_000,
            "have fewer or more cells",
        ),
        (
            "card.vcf",
            lambda: b"BEGIN:VCARD\n" + b"TEL:+15550100123\n" * 100_002,
            "more than 100,000 properties",
        ),
    ],
    ids=["a cell", "short rows", "a card"],
)
def test_what_is_no_table_of_contacts_is_refused(
    tmp_path: Path, name: str, content: Callable[[], bytes], why: str
) -> None:
    with pytest.raises(BadFile, match=why):
        batches(tmp_path / name, content())


def test_rows_of_parquet_keep_their_order_and_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "many.parquet"
    path.write_bytes(parquet_of([str(number) for number in range(30_000)]))
    with open_table(path) as table:
        found = [(batch.lines.tolist(), batch.cells.column("phone").to_pylist()) for batch in table.batches()]
    lines = itertools.chain.from_iterable(lines for lines, _ in found)
    assert list(lines) == list(range(1, 30_001))
    assert [text for _, texts in found for text in texts] == [str(number) for number in range(30_000)]
