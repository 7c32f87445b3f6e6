"""Nothing that a stranger sends takes longer than in proportion to its size.

Every pattern of the package is found, and meets what is worst for it: what it begins with, again and again. Work
that grows with the square of the size takes 64 times as long for 8 times as much.
"""

from __future__ import annotations

import ast
import importlib
import io
import json
import pkgutil
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rollbook
from rollbook import fields, phones, search, texts
from rollbook.errors import BadFile
from rollbook.files import ReadOptions, json_table, open_table, sheet_size
from rollbook.files.dialect import DELIMITERS
from rollbook.files.rows import Lexer

SMALL, LARGE = 2_000, 16_000
FACTOR_MAX = 3 * LARGE / SMALL
"""Three times what is linear; a square is at 64."""

FLOOR_SECONDS = 0.0005
"""What is quicker than that cannot be told from nothing."""

OWN_TEXT = frozenset(
    {"api/openapi.py", "db/migrations/__init__.py", "db/postgres_connection.py", "phones/plans/national.py"}
)
"""Modules whose patterns meet nothing but our own texts: SQL, and metadata of numbering plans."""

ANYTHING = (
    " ",
    "0",
    "a",
    "(",
    '"',
    "\\",
    ".",
    ",",
    "-",
    "+",
    "<",
    "/",
    "\n",
    "\r",
    "[",
    "t='s'",
    "0.",
    "a ",
    "\u0301",
)


def _packages() -> Iterator[Any]:
    for found in pkgutil.walk_packages(rollbook.__path__, "rollbook."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def _patterns() -> dict[str, re.Pattern[Any]]:
    """Every compiled pattern, by where it is."""
    found: dict[str, re.Pattern[Any]] = {}
    for module in _packages():
        for name, value in vars(module).items():
            if isinstance(value, re.Pattern):
                found[f"{module.__name__}.{name}"] = value
    return found


PATTERNS = _patterns()


def _examples(items: Any) -> list[str]:
    """What a pattern begins with: an example for each beginning of it, and with each part twice."""
    done = [""]
    for kind, value in items:
        done = [text + part for text in done[-3:] for part in _example(str(kind), value)][:6]
        beginnings.extend(done)
    return done


beginnings: list[str] = []


def _example(kind: str, value: Any) -> list[str]:
    if kind == "LITERAL":
        return [chr(value)]
    if kind == "IN":
        return [_member(value)]
    if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        low, high, inner = value
        once = _examples(inner)[-1]
        return list(dict.fromkeys((once * int(low), once * min(int(high), int(low) + 2))))
    if kind == "SUBPATTERN":
        return _examples(value[-1])
    if kind == "ATOMIC_GROUP":
        return _examples(value)
    if kind == "BRANCH":
        return [text for branch in value[1] for text in _examples(branch)][:12]
    return {"ANY": ["x"], "NOT_LITERAL": ["y"]}.get(kind, [""])


def _member(members: Any) -> str:
    names = {"CATEGORY_DIGIT": "7", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "w"}
    kind, value = str(members[0][0]), members[0][1]
    if kind == "NEGATE":
        return "~"
    return (
        chr(value) if kind == "LITERAL" else chr(value[0]) if kind == "RANGE" else names.get(str(value), "~")
    )


def _worst(pattern: re.Pattern[Any]) -> list[str]:
    """What may be worst for a pattern, once."""
    parser: Any = importlib.import_module("re._parser")
    beginnings.clear()
    _examples(parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))
    return [text for text in dict.fromkeys([*beginnings, *ANYTHING]) if text][:120]


def _seconds(work: Callable[[], object], times: int = 3) -> float:
    """The processor's time for it, at best."""
    best = float("inf")
    for _ in range(times):
        begun = time.thread_time()
        work()
        best = min(best, time.thread_time() - begun)
    return best


def _grows_with_the_square(work: Callable[[int], object]) -> bool:
    if _seconds(lambda: work(LARGE), 1) <= FACTOR_MAX * FLOOR_SECONDS:
        return False
    small = max(FLOOR_SECONDS, _seconds(lambda: work(SMALL)))
    return all(_seconds(lambda: work(LARGE), 1) > FACTOR_MAX * small for _ in range(3))


def _used(name: str) -> set[str]:
    """The methods of a pattern that the package calls: one that is only matched is not looked for in a text."""
    calls = re.compile(rf"\b{name.rpartition('.')[2]}\.(\w+)\(")
    return {call for text in SOURCES for call in calls.findall(text)} - {"escape", "error"}


SOURCES = [path.read_text() for path in Path(rollbook.__file__).parent.rglob("*.py")]


def _use(pattern: re.Pattern[Any], methods: set[str], text: Any) -> None:
    for method in methods & {"match", "fullmatch"}:
        getattr(pattern, method)(text)
    if methods - {"match", "fullmatch"}:
        sum(1 for _ in pattern.finditer(text))


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_a_pattern_takes_time_in_proportion_to_the_text(name: str) -> None:
    pattern, methods = PATTERNS[name], _used(name) or {"finditer"}
    for atom in _worst(pattern):
        for end in ("", "!"):

            def work(size: int, atom: str = atom, end: str = end) -> None:
                text = atom * (size // len(atom)) + end
                _use(pattern, methods, text if isinstance(pattern.pattern, str) else text.encode())

            assert not _grows_with_the_square(work), f"{name} on {atom!r} again and again"


@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_rows_are_found_in_proportion_to_the_text(delimiter: str) -> None:
    lexer = Lexer(delimiter)
    pieces = [
        " ",
        ' "',
        '"',
        '""',
        '"a"',
        '"a"b',
        "a",
        delimiter,
        f'"{delimiter}',
        f'{delimiter}"',
        '"\n',
        '\n"',
        ' "',
        f'{delimiter} "',
        '"\r',
        "a\r\n",
    ]
    for atom in [*pieces, *(first + second for first in pieces for second in pieces[:6])]:

        def work(size: int, atom: str = atom) -> None:
            text = (atom * (size // len(atom))).encode()
            for last in (False, True):
                lexer.whole_rows(text, last=last)
                sum(1 for _ in lexer.each(text, last=last))
            lexer.cells(text)
            lexer.tidied(text)
            lexer.held(text)

        assert not _grows_with_the_square(work), f"{atom!r} again and again"


def test_a_square_is_seen() -> None:
    pattern = re.compile(r"t='s'[^>]*>\s*(\d+)")

    def work(size: int) -> None:
        _use(pattern, {"findall"}, "t='s'" * (size // 5))

    assert "t='s'" in _worst(pattern)
    assert _grows_with_the_square(work)


def test_patterns_are_where_they_are_found() -> None:
    """Compiled at the top of a module: one within a function would not be looked at."""
    root = Path(rollbook.__file__).parent
    compiled = 0
    for path in sorted(root.rglob("*.py")):
        name = str(path.relative_to(root))
        for top in ast.parse(path.read_text()).body:
            calls = [
                ast.unparse(node.func)
                for node in ast.walk(top)
                if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("re.")
            ]
            calls = [call for call in calls if call not in ("re.escape", "re.error")]
            at_top = isinstance(top, (ast.Assign, ast.AnnAssign)) and set(calls) == {"re.compile"}
            compiled += at_top
            is_lexer = name == "files/rows.py" and isinstance(top, ast.ClassDef) and top.name == "Lexer"
            is_plan = name == "phones/one.py" and calls == ["re.compile"]  # of a country's metadata
            assert at_top or not calls or is_lexer or is_plan or name in OWN_TEXT, f"{name}: {calls}"
    assert compiled > 20


@pytest.mark.parametrize(
    "read",
    [
        phones.parse,
        fields.clean_name,
        search.fold,
        texts.normal,
        lambda text: fields.canonical("text", text),
        lambda text: fields.canonical("number", text),
    ],
    ids=["phone", "name", "fold", "normal", "value", "number"],
)
@pytest.mark.parametrize("atom", ["\u0301\u0323", " ", "0", "+", "( ", "\u00e9"], ids=ascii)
def test_a_long_text_is_read_or_refused_in_time(read: Callable[[str], object], atom: str) -> None:
    def work(size: int) -> None:
        try:
            read("a" * (atom != " ") + atom * size)
            read(atom * size)
        except ValueError:
            pass

    assert not _grows_with_the_square(work)


def _sheet(cells: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
        archive.writestr("xl/worksheets/sheet1.xml", f"<worksheet><sheetData><row>{cells}</row></sheetData>")
    return made.getvalue()


def test_the_shared_texts_of_a_sheet_are_counted_tag_by_tag(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(
        _sheet('<c r="A1" t="s"><v>3</v></c><c r="B1"><v>9</v></c><x:c t="s" s="1"><x:v> 4</x:v></x:c>')
    )
    with sheet_size.opened(path) as archive:
        piece = archive.read("xl/worksheets/sheet1.xml")
    assert list(sheet_size._shared(piece)) == [3, 4]


FILES: dict[str, Callable[[int], bytes]] = {
    "types without an end.xlsx": lambda size: _sheet("t='s'" * size),
    "quotes.vcf": lambda size: b"BEGIN:VCARD\nN:\\;" + b'";' * size + b"\nTEL:+15550100\nEND:VCARD\n",
    "escapes.vcf": lambda size: b"BEGIN:VCARD\nN:" + b"\\;" * size + b"\nTEL:+15550100\nEND:VCARD\n",
    "punycode.vcf": lambda size: (
        b"BEGIN:VCARD\nFN;ENCODING=QUOTED-PRINTABLE;CHARSET=punycode:"
        + b"a-bcdefgh" * size
        + b"\nTEL:1\nEND:VCARD\n"
    ),
    "folded.vcf": lambda size: b"BEGIN:VCARD\nNOTE:x\n" + b" y\n" * size + b"TEL:1\nEND:VCARD\n",
    "soft.vcf": lambda size: (
        b"BEGIN:VCARD\nFN;ENCODING=QUOTED-PRINTABLE:x=\n" + b"=\n" * size + b"\nTEL:1\nEND:VCARD\n"
    ),
    "nested.jsonl": lambda size: b'{"phone": "+15550100", "x": ' + b"[" * size + b"]" * size + b"}\n",
    "nested.json": lambda size: b'[{"phone": "+15550100", "x": ' + b'{"a":' * size,
    "number.json": lambda size: b'[{"phone": 1' + b"0" * size + b"}]",
    "blank.jsonl": lambda size: b" \n" * size * 16 + b'{"phone": "+15550100"}\n',
    "marks.csv": lambda size: b"phone," + "\u0301\u0323".encode() * size + b"\n+15550100,x\n",
    "opening.csv": lambda size: b"phone,name\n" + b'"+15550100"x,"\n' * size,
    "names.csv": lambda size: b"phone" + b",a" * min(16_000, size // 2) + b"\n+15550100\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_or_refused_in_time(name: str, tmp_path: Path) -> None:
    def work(size: int) -> None:
        path = tmp_path / f"{size}-{name}"
        if not path.exists():
            path.write_bytes(FILES[name](size))
        try:
            with open_table(path) as table:
                for batch in table.batches():
                    assert batch.cells.num_columns == len(table.columns)
        except BadFile:
            pass

    assert not _grows_with_the_square(work)


def test_an_archive_of_too_many_parts_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet_size, "DIRECTORY_BYTES_MAX", 10_000)
    path = tmp_path / "parts.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(1_000):
            archive.writestr(f"xl/{number}.xml", "")
    with pytest.raises(BadFile, match="too many parts"):
        open_table(path)


def test_blank_lines_before_json_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_table, "BLOCK_BYTES", 4)
    path = tmp_path / "blank.jsonl"
    path.write_text("\n" * 9 + json.dumps({"phone": "+15550100"}) + "\n")
    with open_table(path, ReadOptions(format="jsonl")) as table:
        assert [batch.lines.tolist() for batch in table.batches()] == [[10]]


def test_utf_7_that_never_comes_to_a_character(tmp_path: Path) -> None:
    path = tmp_path / "shift.csv"
    path.write_bytes(b"phone\n+" + b"A" * 3_000_001)
    with pytest.raises(BadFile, match="utf-7"), open_table(path, ReadOptions(encoding="utf-7")) as table:
        list(table.batches())
