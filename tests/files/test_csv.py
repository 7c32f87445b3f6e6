from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rollbook.errors import BadFile
from rollbook.files import BadRow, ReadOptions, csv_table, dialect, open_table, text
from tests.files.reading import Row, Whole, read
from tests.length import sized

HEADER = "phone,name\n"


def written(tmp_path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = tmp_path / "file.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    whole = read(written(tmp_path, "phone,name\n+12025550101,Ann\n+12025550102,Bob\n"))
    assert whole.columns == ["phone", "name"]
    assert whole.rows == [["+12025550101", "Ann"], ["+12025550102", "Bob"]]
    assert whole.lines == [2, 3]
    assert whole.about == {
        "format": "csv",
        "encoding": "utf-8",
        "delimiter": ",",
        "compression": None,
        "header": True,
        "sheet": None,
    }


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        ("phone,name\n1,a\n2,b", [2, 3]),
        ("phone,name\r\n1,a\r\n2,b\r\n", [2, 3]),
        ("phone,name\r1,a\r2,b\r", [2, 3]),
        ("phone,name\r1,a\r2,b", [2, 3]),
        ("phone,name\n1,a\r2,b\r\n", [2, 3]),
        ("\n\nphone,name\n\n1,a\n\n\n2,b\n\n", [5, 8]),
        ("\r\nphone,name\r\n\r\n1,a\r\n\r\n2,b\r\n", [4, 6]),
        ("phone,name\n1,a\n   \n2,b\n", [2, 4]),
        ('phone,"na\nme"\n1,a\n2,b\n', [3, 4]),
        ('phone,name\n1,"a"\n2,"b"\n', [2, 3]),
        ('"phone","name"\n"1","a"\n"2","b"', [2, 3]),
        ("sep=,\nphone,name\n1,a\n2,b\n", [3, 4]),
    ],
)
def test_lines_are_those_that_an_editor_shows(tmp_path: Path, content: str, lines: list[int]) -> None:
    whole = read(written(tmp_path, content), header=True)
    assert whole.lines == lines
    assert whole.rows == [["1", "a"], ["2", "b"]]
    assert not whole.bad


def test_quoted_line_ends_count_as_lines_and_not_as_rows(tmp_path: Path) -> None:
    whole = read(
        written(tmp_path, 'phone,name\n1,"a\n\nb"\n2,"c\r\nd\re"\n\n3,"x ""y"" z"\n4,w\n'), header=True
    )
    assert whole.rows == [["1", "a\n\nb"], ["2", "c\r\nd\re"], ["3", 'x "y" z'], ["4", "w"]]
    assert whole.lines == [2, 5, 9, 10]


def test_missing_cells_are_null_and_surplus_ones_make_a_bad_row(tmp_path: Path) -> None:
    content = 'phone,name,city\n1,a,x\n\n2\n3,b,y,z\n4,,w\n5,"c\nd"\n6,e,v,,\n'
    whole = read(written(tmp_path, content), header=True)
    assert whole.rows == [
        ["1", "a", "x"],
        ["2", None, None],
        ["4", "", "w"],
        ["5", "c\nd", None],
        ["6", "e", "v"],
    ]
    assert whole.lines == [2, 4, 6, 7, 9]
    assert whole.bad == [BadRow(5, "3,b,y,z", "too_many_cells")]


def test_marks_inside_of_words_are_characters(tmp_path: Path) -> None:
    whole = read(
        written(tmp_path, 'phone;name\n1;OOO "Sun" Ltd\n2;5" pipe\n3;"quoted; really"\n'), header=True
    )
    assert whole.rows == [["1", 'OOO "Sun" Ltd'], ["2", '5" pipe'], ["3", "quoted; really"]]
    assert whole.lines == [2, 3, 4]


def test_text_after_a_closing_mark_makes_a_bad_row(tmp_path: Path) -> None:
    content = 'phone,name\n1,"a" b\n2,"c"\n3,"d"e"\n\n4,"f" \n5,"g\nh"i\n6,j\n'
    whole = read(written(tmp_path, content), header=True)
    assert whole.rows == [["2", "c"], ["4", "f "], ["6", "j"]]
    assert whole.lines == [3, 6, 9]
    assert [(row.line, row.text, row.reason) for row in whole.bad] == [
        (2, '1,"a" b', "text_after_quote"),
        (4, '3,"d"e"', "text_after_quote"),
        (7, '5,"g\nh"i', "text_after_quote"),
    ]


@pytest.mark.parametrize(
    ("content", "delimiter"),
    [
        ("phone,name\n12025550101,Ann\n", ","),
        ("phone;name\n12025550101;Ann\n", ";"),
        ("phone\tname\n12025550101\tAnn\n", "\t"),
        ("phone|name\n12025550101|Ann\n", "|"),
        ("12025550101;Lee, Ann\n12025550102;Roe, Bob\n", ";"),
        ('12025550101;"Lee, Ann"\n12025550102;"Roe, Bob"\n', ";"),
        ("12025550101,a;b\n12025550102,c;d\n", ","),
        ("phone;sum\n12025550101;1,5\n12025550102;2,5\n", ";"),
        ("12025550101\n12025550102\n", ","),
        ("sep=|\na;b|c;d\n1;2|3;4\n", "|"),
        ("name,phone\n\n\nAnn,12025550101", ","),
        ('"phone";"name, full"\n"12025550101";"Lee, Ann"\n', ";"),
    ],
)
def test_the_delimiter_is_told(tmp_path: Path, content: str, delimiter: str) -> None:
    assert read(written(tmp_path, content)).about["delimiter"] == delimiter


@pytest.mark.parametrize(
    ("content", "columns", "rows"),
    [
        ("+12025550101,Ann\n+12025550102,Bob\n", ["column 1", "column 2"], 2),
        ("12025550101\n12025550102\n", ["column 1"], 2),
        ("phone\n12025550101\n", ["phone"], 1),
        ("foo;bar\n12025550101;Ann\n", ["foo", "bar"], 1),
        ("телефон;имя\n380500000001;Аня\n", ["телефон", "имя"], 1),
        ("1;2;3\n4;5;6\n", ["column 1", "column 2", "column 3"], 2),
        ("12025550101\n12025550102,Bob\n12025550103,Joe\n", ["column 1", "column 2"], 3),
        (" phone , phone ,,Phone\n1,2,3,4\n", ["phone", "phone (2)", "column 3", "Phone (3)"], 1),
        ("phone,name\n12025550101,Ann,\n12025550102,Bob,\n", ["phone", "name", "column 3"], 2),
        ("phone,name\n", ["phone", "name"], 0),
        ("3.80E+11;Ann\n3.80E+11;Bob\n", ["column 1", "column 2"], 2),
    ],
)
def test_a_header_is_told_from_rows(tmp_path: Path, content: str, columns: list[str], rows: int) -> None:
    whole = read(written(tmp_path, content))
    assert whole.columns == columns
    assert len(whole.rows) == rows


def test_what_is_said_of_a_file_is_not_detected(tmp_path: Path) -> None:
    path = written(tmp_path, "phone,name;x\n12025550101,Ann;y\n")
    whole = read(path, delimiter=";", header=False)
    assert whole.rows == [["phone,name", "x"], ["12025550101,Ann", "y"]]
    assert read(written(tmp_path, "a\tb\n1\t2\n"), delimiter="tab", header=True).rows == [["1", "2"]]


CYRILLIC = "телефон;ім'я;місто\n380500000001;Олексій Їжак;Київ\n380500000002;Ганна Ґалаґан;Львів\n"
WESTERN = "telefon;prénom;ville\n33700000001;François;Besançon\n33700000002;Zoé Lefèvre;Orléans\n"


@pytest.mark.parametrize(
    ("content", "encoding", "told"),
    [
        (CYRILLIC, "utf-8", "utf-8"),
        (CYRILLIC, "utf-8-sig", "utf-8"),
        (CYRILLIC, "utf-16", "utf-16-le"),
        (CYRILLIC, "utf-16-le", "utf-16-le"),
        (CYRILLIC, "utf-16-be", "utf-16-be"),
        (CYRILLIC, "cp1251", "cp1251"),
        (WESTERN, "cp1252", "cp1252"),
        (WESTERN, "utf-8", "utf-8"),
        (WESTERN, "utf-16-be", "utf-16-be"),
        ("phone;name\n44770090001;Ren\xe9\n", "cp1252", "cp1252"),
        ("телефон\n380500000001\n", "cp1251", "cp1251"),
    ],
)
def test_the_encoding_is_told(tmp_path: Path, content: str, encoding: str, told: str) -> None:
    whole = read(written(tmp_path, content, encoding))
    assert whole.about["encoding"] == told
    first, *rows = [line.split(";") for line in content.splitlines()]
    assert (whole.columns, whole.rows) == (first, rows)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251", "cp1252"])
def test_a_file_that_is_ascii_for_long_shows_its_encoding_late(tmp_path: Path, encoding: str) -> None:
    name = "Zoé Lefèvre" if encoding == "cp1252" else "Олексій Їжак"
    ascii = "".join(f"1202555{number:04},Ann\n" for number in range(30_000))
    path = written(tmp_path, HEADER + ascii + f"12025550000,{name}\n" * 3, encoding)
    with open_table(path, ReadOptions(batch_rows=2_000)) as table:
        assert table.encoding == "utf-8"
        last = [batch.cells.column("name")[-1].as_py() for batch in table.batches()][-1]
        assert (table.encoding, last) == (encoding, name)


def test_another_encoding_can_be_named(tmp_path: Path) -> None:
    assert read(written(tmp_path, CYRILLIC, "koi8-u"), encoding="koi8-u").rows[0][1] == "Олексій Їжак"


def test_characters_are_whole_wherever_a_block_is_cut(tmp_path: Path) -> None:
    for width in range(1, 5):
        rows: list[Row] = [[f"{number:0{width}}", "Їжак 😀 é"] for number in range(9)]
        content = HEADER + "".join(f"{phone},{name}\n" for phone, name in rows)
        for encoding in ("utf-8", "utf-16-le"):
            for size in range(1, 5):
                with pieces_of(size):
                    whole = read(written(tmp_path, content, encoding), encoding=encoding, header=True)
                assert whole.rows == rows
                assert whole.lines == list(range(2, 11))


def test_compressed_files_are_known_by_content(tmp_path: Path) -> None:
    content = b"phone,name\n12025550101,Ann\n"
    for name, packed in (
        ("gzip", gzip.compress(content)),
        ("gzip", gzip.compress(content[:14]) + gzip.compress(content[14:])),
        ("zstd", pa.Codec("zstd").compress(content, asbytes=True)),
    ):
        whole = read(written(tmp_path, packed))
        assert whole.about["compression"] == name
        assert whole.rows == [["12025550101", "Ann"]]
    not_packed = tmp_path / "plain.csv.gz"
    not_packed.write_bytes(content)
    assert read(not_packed).about["compression"] is None


def test_batches_have_about_as_many_rows_as_asked(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER + "".join(f"1202555{number:04},Ann\n" for number in range(60_000)))
    with open_table(path, ReadOptions(batch_rows=10_000)) as table:
        sizes = [batch.cells.num_rows for batch in table.batches()]
    assert sum(sizes) == 60_000
    assert all(5_000 <= size <= 15_000 for size in sizes[:-1])


@contextmanager
def pieces_of(size: int | None) -> Iterator[None]:
    """Read so many bytes at a time, so that blocks are cut wherever they can be; `None` reads as usual."""
    with pytest.MonkeyPatch.context() as patched:
        if size is not None:
            patched.setattr(text, "SAMPLE_BYTES", size)
            patched.setattr(csv_table, "SAMPLE_BYTES", size)
            patched.setattr(csv_table, "BLOCK_BYTES_MIN", size)
        yield


TEXT = st.text(
    st.one_of(
        st.sampled_from("\",;\t|\r\n 'ab1"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"),
    ),
    max_size=8,
)


@pytest.mark.sized
@settings(
    max_examples=sized(100, 200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(TEXT, min_size=width, max_size=width), min_size=1, max_size=12)
    ),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(["utf-8", "utf-16-le", "utf-16-be", "cp1251"]),
    ends=st.booleans(),
)
@example([["a", "b"], ["\r", "\n"]], ",", csv.QUOTE_MINIMAL, "\r", "utf-8", False)
def test_what_python_writes_is_read_back_with_its_lines(
    tmp_path: Path,
    rows: list[list[str]],
    delimiter: str,
    quoting: Literal[0, 1, 2],
    line_end: str,
    encoding: str,
    ends: bool,
) -> None:
    if encoding == "cp1251":
        rows = [[cell.encode("cp1251", "ignore").decode("cp1251") for cell in row] for row in rows]
    if line_end != "\r\n" and any(mark in cell for row in rows for cell in row for mark in "\r\n"):
        quoting = csv.QUOTE_ALL  # Python quotes only the marks of its own line end before 3.13.
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, delimiter=delimiter, quoting=quoting, lineterminator=line_end)
    lines = []
    for row in rows:
        before = buffer.getvalue()
        lines.append(1 + before.count("\n") + before.count("\r") - before.count("\r\n"))
        writer.writerow(row)
    content = buffer.getvalue()
    if not ends:
        content = content.removesuffix(line_end)
    if not content.strip():
        return
    path = written(tmp_path, content, encoding)
    for size in (1, 5, None):
        with pieces_of(size):
            whole = read(
                path,
                delimiter=delimiter,
                encoding=encoding,
                header=False,
                format="csv",
                batch_rows=size or 250_000,
            )
        assert not whole.bad
        width = len(rows[0])
        assert whole.columns == [f"column {number}" for number in range(1, width + 1)]
        filled = [place for place, row in enumerate(rows) if any(map(str.strip, row))]
        assert whole.rows == [rows[place] for place in filled]
        assert whole.lines == [lines[place] for place in filled]


def outcome(path: Path, **options: Any) -> Whole | str:
    """What is in a file, or why it is refused."""
    try:
        return read(path, **options)
    except BadFile as error:
        return str(error)


@pytest.mark.sized
@settings(
    max_examples=sized(150, 300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(scrawl=st.text(st.sampled_from('"",,\r\n ab'), min_size=1, max_size=30), size=st.integers(1, 6))
def test_any_scrawl_is_read_or_refused_and_no_row_is_lost(tmp_path: Path, scrawl: str, size: int) -> None:
    """Wherever blocks are cut the outcome is the same, and the good rows are those that Python reads."""
    path = written(tmp_path, "x,y\n" + scrawl)
    options = {"delimiter": ",", "header": True, "format": "csv", "encoding": "utf-8"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(dialect, "ROWS", 1)  # The columns shall be those two.
        whole = outcome(path, **options)
        with pieces_of(size):
            assert outcome(path, batch_rows=1, **options) == whole
    if isinstance(whole, str):
        assert "quotation mark" in whole
        return
    if re.search(r'(^|[,\r\n]) +"', scrawl):
        return  # Python takes the space and the mark for a part of the cell.
    ours = dict(zip(whole.lines, whole.rows, strict=True))
    bad = {row.line: row for row in whole.bad}
    reader = csv.reader(io.StringIO(scrawl, newline=""))
    line = 2
    for row in reader:
        if "".join(row).strip() or line in bad:
            if line in bad:
                assert bad.pop(line).reason == "text_after_quote" or any(row[2:])
            else:
                assert [cell for cell in ours.pop(line) if cell is not None] == row[:2]
        line = 2 + reader.line_num
    assert not bad
    assert not ours


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(
        st.tuples(*[st.text(st.sampled_from('", \nab;'), max_size=6).map(lambda cell: f"x{cell}")] * 2),
        min_size=1,
        max_size=8,
    ),
    spaces=st.integers(1, 3),
    size=st.integers(1, 6),
)
def test_a_space_before_a_quotation_mark_is_no_part_of_the_cell(
    tmp_path: Path, rows: list[tuple[str, str]], spaces: int, size: int
) -> None:
    def quoted(cell: str) -> str:
        return " " * spaces + '"' + cell.replace('"', '""') + '"'

    text = "phone, name\n" + "".join(",".join(map(quoted, row)) + "\n" for row in rows)
    path = written(tmp_path, text)
    whole = read(path, delimiter=",", header=True)
    assert not whole.bad
    assert whole.rows == [list(row) for row in rows]
    with pieces_of(size):
        assert read(path, delimiter=",", header=True, batch_rows=1) == whole
