from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollbook.errors import BadFile
from rollbook.files import BadRow, ReadOptions, json_table, open_table
from tests.files.reading import read
from tests.length import sized


def written(tmp_path: Path, content: str | bytes, name: str = "a.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_lines_are_rows(tmp_path: Path) -> None:
    whole = read(written(tmp_path, '{"phone":"1","name":"Ann"}\n{"phone":"2","name":"Bob"}\n'))
    assert whole.columns == ["phone", "name"]
    assert whole.rows == [["1", "Ann"], ["2", "Bob"]]
    assert whole.lines == [1, 2]
    assert whole.about["format"] == "jsonl"


@pytest.mark.parametrize("name", ["contacts.csv", "contacts", "contacts.txt"])
def test_json_is_known_by_content(tmp_path: Path, name: str) -> None:
    assert read(written(tmp_path, '{"phone":"1"}\n', name)).about["format"] == "jsonl"
    assert read(written(tmp_path, '\n [\n{"phone":"1"}]', name)).about["format"] == "jsonl"
    packed = gzip.compress('{"phone":"1"}\n'.encode("utf-16"))
    whole = read(written(tmp_path, packed, name))
    assert (whole.about["format"], whole.about["encoding"]) == ("jsonl", "utf-16-le")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('"380500000001"', "380500000001"),
        ("380500000001", "380500000001"),
        ("380500000001.0", "380500000001"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("1.50", "1.5"),
        ("3.80E+11", "3.80E+11"),
        ("-0.5", "-0.5"),
        ("true", "true"),
        ("false", "false"),
        ("null", None),
        ('""', ""),
        ('"2026-01-31 10:00:00"', "2026-01-31 10:00:00"),
        ('"2026-01-31"', "2026-01-31"),
        ('"\\ud83d\\ude00 \\u0410"', "😀 А"),
        ('{"a":[1,2.5,null]}', '{"a":[1,2.5,null]}'),
        ("[]", "[]"),
    ],
)
def test_values_are_text(tmp_path: Path, value: str, text: str | None) -> None:
    line = f'{{"phone":"1","x":{value}}}'
    assert read(written(tmp_path, line + "\n")).rows == [["1", text]]
    assert read(written(tmp_path, f'{line}\n{{"phone":"2","x":"y"}}\n')).rows == [["1", text], ["2", "y"]]
    assert read(written(tmp_path, f"[{line}]")).rows == [["1", text]]


def test_names_that_turn_up_late_are_columns(tmp_path: Path) -> None:
    lines = [json.dumps({"phone": str(number)}) for number in range(200_000)]
    whole = read(written(tmp_path, "\n".join(lines) + '\n{"city":"Kyiv","phone":"x"}\n'))
    assert whole.columns == ["phone", "city"]
    assert whole.rows[0] == ["0", None]
    assert whole.rows[-1] == ["x", "Kyiv"]
    assert whole.lines == list(range(1, 200_002))


def test_bad_lines_are_named_and_the_others_read(tmp_path: Path) -> None:
    content = '{"phone":1}\n\n{"phone":2\n[3]\n4\n{"phone":5} {"phone":6}\n{"phone":7}\r\n  \n{"phone":"\xff"}\n{"phone":8}'
    whole = read(written(tmp_path, content.encode("latin-1").replace(b"\xff", b"\\ud800")))
    assert whole.rows == [["1"], ["7"], ["8"]]
    assert whole.lines == [1, 7, 10]
    assert whole.bad == [
        BadRow(3, '{"phone":2', "not_json"),
        BadRow(4, "[3]", "not_an_object"),
        BadRow(5, "4", "not_an_object"),
        BadRow(6, '{"phone":5} {"phone":6}', "not_json"),
        BadRow(9, '{"phone":"\\ud800"}', "not_json"),
    ]


def test_an_array_is_read_element_by_element(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values: list[Any] = [{"phone": number, "name": 'a "b" [}\n{, ' * (number % 3)} for number in range(500)]
    values[7] = [1, "x"]
    values[8] = None
    for content in (
        json.dumps(values),
        json.dumps(values, indent=1),
        json.dumps(values, separators=(",", ":")),
    ):
        path = written(tmp_path, "\n" + content + "\n\n", "a.json")
        for size in (1, 7, 1 << 20):
            monkeypatch.setattr("rollbook.files.text.SAMPLE_BYTES", size)
            monkeypatch.setattr("rollbook.files.json_array.PIECE_BYTES", size)
            whole = read(path, batch_rows=100)
            assert whole.columns == ["phone", "name"]
            good = [row for row in values if isinstance(row, dict)]
            assert whole.rows == [[str(row["phone"]), row["name"]] for row in good]
            assert [row.reason for row in whole.bad] == ["not_an_object"] * 2
            before = content.split('{"phone": 499') if '": ' in content and "\n" not in content else None
            if before:
                assert whole.lines == [2] * 498
            elif "\n" in content:
                text = path.read_text()
                places = [text.index(f'{{\n  "phone": {row["phone"]},') for row in good]
                assert whole.lines == [1 + text.count("\n", 0, place) for place in places]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('[{"phone":1},\n{"phone":2}', "ends in the middle, on line 2"),
        ('[{"phone":1},\n{"phone":', "cannot be read on line 2"),
        ('[{"phone":1}\n{"phone":2}]', "on line 2: a comma or ]"),
        ('[{"phone":1},\n\n{phone:2}]', "cannot be read on line 3"),
        ('[{"phone":1}]\n[]', "on line 2: there is more text"),
        ("[]", "no objects"),
        ("[ ]\n", "no objects"),
        ("{\n}\n", "no line is an object"),
        ("x\ny\n", "no line is an object"),
        ("\n\n", "no objects"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(BadFile) as refused:
        read(written(tmp_path, content, "a.json"))
    assert said in str(refused.value)


def test_names_that_are_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="more than 1,000 different names"):
        read(written(tmp_path, "".join(f'{{"{number}":1}}\n' for number in range(2_000))))


def test_long_lines_are_refused(tmp_path: Path) -> None:
    long = '{"phone":"' + "1" * 5_000 + '"}\n'
    with pytest.raises(BadFile, match="Line 3 is longer than 1,000 bytes"):
        read(written(tmp_path, '{"phone":1}\n\n' + long + '{"phone":2}\n'), line_bytes_max=1_000)
    path = written(tmp_path, '[{"phone":1},\n\n' + '{"phone":"' + "1" * 2_000_000 + '"}]')
    with pytest.raises(BadFile, match="on line 3: unterminated string"):
        read(path, line_bytes_max=1_000)


def test_names_are_trimmed_and_unique(tmp_path: Path) -> None:
    whole = read(written(tmp_path, '{" phone":1,"phone":2,"":3,"Phone":4}\n'))
    assert whole.columns == ["phone", "phone (2)", "column 3", "Phone (3)"]
    assert whole.rows == [["1", "2", "3", "4"]]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)


@pytest.mark.sized
@settings(
    max_examples=sized(75, 150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), JSON), min_size=1, max_size=8),
    uniform=st.sampled_from([None, str, int, bool]),
)
def test_the_quick_way_and_the_slow_one_and_an_array_give_the_same(
    tmp_path: Path, rows: list[dict[str, Any]], uniform: type | None
) -> None:
    if uniform is not None:
        rows = [{key: value for key, value in row.items() if type(value) is uniform} for row in rows]
    if not any(rows):
        return
    lines = written(tmp_path, "".join(json.dumps(row) + "\n" for row in rows))
    array = written(tmp_path, json.dumps(rows), "a.json")
    quick = read(lines)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_table, "_by_arrow", lambda block, schema: None)
        slow = read(lines)
    assert (quick.columns, quick.rows, quick.lines) == (slow.columns, slow.rows, slow.lines)
    assert not quick.bad
    by_array = read(array)
    assert (by_array.columns, by_array.rows) == (quick.columns, quick.rows)


def test_blocks_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollbook.files.text.SAMPLE_BYTES", 10)
    path = written(tmp_path, "".join(f'{{"phone":"{number}"}}\n' for number in range(300)))
    with open_table(path, ReadOptions(batch_rows=3)) as table:
        batches = list(table.batches())
    assert len(batches) > 10
    assert [line for batch in batches for line in batch.lines] == list(range(1, 301))
