"""Detects the kind of a file from its content, and from its name only if the content leaves it open."""

from __future__ import annotations

from pathlib import Path

import msgspec

from rollbook.errors import BadFile
from rollbook.files import FORMATS, ReadOptions, Table, sheet_size
from rollbook.files.source import Source
from rollbook.files.text import SAMPLE_BYTES

_ZIP, _OLE2, _PARQUET = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"PAR1"
_OTHERS = (
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"GIF89a", "a picture (GIF)"),
    (b"Rar!", "a RAR archive: unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (b"BZh91AY&SY", "compressed by bzip2: decompress it first, or compress it by gzip or zstd"),
    (b"\xfd7zXZ", "compressed by xz: decompress it first, or compress it by gzip or zstd"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x7fELF", "a program"),
    (b"{\\rtf", "an RTF document"),
    (b"Obj\x01", "an Avro file"),
    (b"ARROW1", "an Arrow file"),
)
_BY_NAME = {
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".vcf": "vcard",
    ".vcard": "vcard",
}


def open_detected(path: Path, options: ReadOptions) -> Table:
    """See `rollbook.files.open_table`."""
    if options.format is not None and options.format not in FORMATS:
        raise BadFile(f"There is no format {options.format!r}; there are {', '.join(FORMATS)}.")
    with Source(path, options) as source:
        if source.size_bytes == 0:
            raise BadFile("The file is empty: it has no header and no rows.")
        head = source.read(SAMPLE_BYTES)
        compression = source.compression
    if compression is not None and not head:
        raise BadFile("The file is empty: there is nothing in its compressed data.")
    if compression is not None and head.startswith((_PARQUET, _ZIP, _OLE2)):
        raise BadFile(f"The file is Parquet or a spreadsheet inside of {compression}: decompress it first.")
    format = options.format or _format(path, head)
    _refuse_others(format, head)
    if format in ("parquet", "xlsx"):
        return _open_binary(path, format, head, options)
    return _open_text(path, format, options)


def _open_text(path: Path, format: str, options: ReadOptions) -> Table:
    if format == "jsonl":
        from rollbook.files.json_table import JsonTable

        return JsonTable(path, options)
    source = Source(path, options)
    try:
        if format == "vcard":
            from rollbook.files.vcard_table import VcardTable

            return VcardTable(source, options)
        from rollbook.files.csv_table import CsvTable

        return CsvTable(source, options)
    except BaseException:
        source.close()
        raise


def _open_binary(path: Path, format: str, head: bytes, options: ReadOptions) -> Table:
    if format == "parquet":
        from rollbook.files.parquet_table import ParquetTable

        if not head.startswith(_PARQUET):
            raise BadFile("The file is no Parquet: it does not begin as one.")
        return ParquetTable(path, options)
    from rollbook.files.sheet_table import SheetTable

    if not head.startswith((_ZIP, _OLE2)):
        raise BadFile(
            "The file is not a spreadsheet: it does not begin like one. If it is text, name it .csv."
        )
    return SheetTable(path, options)


def _format(path: Path, head: bytes) -> str:
    """One of `FORMATS`, by the beginning of the content and, if need be, by the name."""
    if head.startswith(_PARQUET):
        return "parquet"
    if head.startswith(_ZIP):
        return _zipped(path)
    if head.startswith(_OLE2):
        return "xlsx"
    _refuse_others("", head)
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in (".gz", ".zst", ".zstd")]
    by_name = _BY_NAME.get(suffixes[-1] if suffixes else "")
    if by_name == "parquet":
        raise BadFile("The file is named .parquet, but does not begin as one. Get a good copy of it.")
    text = _beginning(head)
    if text[:11].upper() == "BEGIN:VCARD":
        return "vcard"
    if text.startswith("[") and text[1:].lstrip().startswith(("{", "]")):
        return "jsonl"
    if text.startswith("{") and (by_name == "jsonl" or _is_object(text.splitlines()[0])):
        return "jsonl"
    if by_name == "jsonl":
        return "jsonl"
    if text[:200].lower().startswith(("<!doctype html", "<html", "<table", "<?xml", "<workbook")):
        raise BadFile(
            "The file is a page of HTML or XML, whatever its name says. Open it in a spreadsheet program and "
            "save it as XLSX or CSV."
        )
    return "csv"


def _zipped(path: Path) -> str:
    """Spreadsheets are zip archives."""
    with sheet_size.opened(path) as archive:
        names = set(archive.namelist())
    if "xl/workbook.xml" in names or "xl/_rels/workbook.xml.rels" in names:
        return "xlsx"
    if {"content.xml", "mimetype"} <= names or any(name.startswith("xl/") for name in names):
        # How much memory they take cannot be known before they are read.
        raise BadFile(
            "The file is a spreadsheet of a kind that is not read (ODS or XLSB). Save it as XLSX or CSV."
        )
    raise BadFile("The file is a zip archive and no spreadsheet. Unpack it, and name a file that was in it.")


def _refuse_others(format: str, head: bytes) -> None:
    if format in ("csv", "jsonl", "vcard") and head.startswith((_PARQUET, _ZIP, _OLE2)):
        raise BadFile(f"The file is not {format}: it begins as Parquet or as a spreadsheet.")
    for magic, what in _OTHERS:
        if head.startswith(magic):
            raise BadFile(
                f"The file is {what}. What can be read is CSV, XLSX, Parquet, JSON lines and vCard."
            )


def _beginning(head: bytes) -> str:
    """The beginning as text, for looking only: its faults are reported when it is read."""
    for mark, name in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if head.startswith(mark):
            return head[2:].decode(name, "replace").lstrip()
    if head[1:2] == b"\0":
        return head.decode("utf-16-le", "replace").lstrip()
    if head[:1] == b"\0":
        return head.decode("utf-16-be", "replace").lstrip()
    return head.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace").lstrip()


def _is_object(line: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except (msgspec.DecodeError, RecursionError):
        return False
