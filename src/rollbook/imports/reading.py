"""The first phase of an import, from its file to the stage: how the file is read, and what it must
contain."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from rollbook import accounts, imports
from rollbook.db import Integers, Transaction
from rollbook.errors import BadFile
from rollbook.files import Table
from rollbook.imports import Import, Report, stage
from rollbook.imports.columns import Columns
from rollbook.imports.spec import ImportSpec
from rollbook.options import mention
from rollbook.texts import counted


class Cancelled(Exception):
    """The import was cancelled while it was worked on."""


def phone_reading(
    chosen: Columns, spec: ImportSpec, in_book: Callable[[Sequence[int]], Sequence[int]]
) -> stage.PhoneReading:
    """Where the phones of a file are, and how they are read. An import that stops phones accepts every number
    that the book can store."""
    own = chosen.own_export
    stops = own.stops if own is not None else None
    stopping = in_book if spec.stop or stops is not None else None
    if own is not None and own.whole:
        return stage.PhoneReading(
            chosen.phones, only_valid=False, stops=stops, in_book=stopping, all_stop=bool(spec.stop)
        )
    return stage.PhoneReading(
        chosen.phones,
        spec.region,
        only_valid=spec.phone_check == "valid" and not stopping,
        every=spec.every_phone,
        # The code would stand in front of the first number only; the others would be read without it.
        split=spec.split_phones and chosen.codes is None,
        in_book=stopping,
        stops=stops,
        all_stop=bool(spec.stop),
        repaired=chosen.repaired,
        codes=chosen.codes,
    )


def in_book(tx: Transaction, account_id: int, phones: Sequence[int]) -> list[int]:
    """Those of the given phones that are contacts."""
    return tx.all(
        int,
        f"""
        SELECT contact.phone FROM {tx.integers("wanted")} CROSS JOIN contact
        WHERE contact.account_id = :account_id AND contact.phone = wanted.value
        """,
        account_id=account_id,
        wanted=Integers(np.array(phones, np.int64)),
    )


def about(table: Table) -> dict[str, str]:
    """How a file was read: format, encoding, and so on."""
    ways = {
        "format": table.format,
        "encoding": table.encoding,
        "delimiter": table.delimiter,
        "compression": table.compression,
        "sheet": table.sheet,
    }
    return {name: value for name, value in ways.items() if value}


def header(table: Table) -> str:
    """Where the header of a file was found, for its report."""
    if table.header_line is not None:
        return f"line {table.header_line}"
    return "none" if table.format in ("csv", "xlsx") else ""


def check_totals(import_: Import, totals: stage.Totals, *, has_columns: bool, only_stops: bool) -> None:
    """Refuse a file with too few rows, or with other contents than the spec says.

    Raises:
        BadFile: the reason, as a sentence; nothing is imported.
    """
    spec = import_.spec
    if not totals.rows and (spec.mode == "replace" or not (spec.stop or only_stops)):
        if has_columns:
            raise BadFile(f"{import_.source} has a header but no rows.")
        raise BadFile(f"{import_.source} is empty.")
    if spec.rows is not None and totals.rows != spec.rows:
        raise BadFile(
            f"{import_.source} has {counted(totals.rows, 'row')}, not {spec.rows:,} as {mention('rows')} "
            "says: nothing was imported."
        )
    if spec.mode == "replace" and not totals.staged:
        raise BadFile(
            f"{import_.source} has no good phone number in {counted(totals.rows, 'row')}: its list would be "
            "emptied, so nothing was replaced."
        )


def staged(
    tx: Transaction, account_id: int, import_id: int, names: list[str], report: Report, totals: stage.Totals
) -> Import:
    """Finish the reading of a file: create the fields that it needs and start the merge, or wait for a
    confirmation.

    Args:
        names: the names of the fields that its columns fill, in their order.
        totals: the totals of the file.

    Raises:
        Cancelled: the import was cancelled while the file was read.
    """
    accounts.lock(tx, account_id)
    import_ = imports.get(tx, account_id, import_id)
    if import_.cancel_wanted:
        raise Cancelled
    if report.leaving:
        report.fields_wanted = names
    else:
        report = imports.with_fields(tx, msgspec.structs.replace(import_, report=report), names)
    list_id, report.list_created = imports.with_list(tx, import_)
    return imports.change(
        tx,
        import_,
        list_id=list_id,
        state="confirm" if report.leaving else "merging",
        bytes_done=import_.size_bytes,
        rows_read=totals.rows,
        rows_staged=totals.staged,
        reached=0,
        report=report,
    )
