"""`rollbook import`, `rollbook imports ...` and `rollbook work`."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
import msgspec

from rollbook import config, imports, lists, texts
from rollbook.cli.common import (
    KEPT_BY_THE_SERVICE,
    Command,
    CommandGroup,
    account_flags,
    account_of,
    confirmed,
    csv_flags,
    database_of,
    date,
    flags,
    json_flag,
    must_differ,
    opened,
    print_json,
    print_table,
    say,
    standard_output,
    usage_errors,
)
from rollbook.cli.ending import allow_rejects_flag, end, strict_flag
from rollbook.cli.interrupts import INTERRUPTED, interruptible, spooled_input
from rollbook.cli.options import option_flags
from rollbook.config import Settings
from rollbook.db import Database
from rollbook.errors import BadFile, CannotWrite, NotFound, NotNow
from rollbook.files.formulas import csv_pieces
from rollbook.imports import Import, Report
from rollbook.imports.minder import Minder
from rollbook.imports.order import FLAGS as LIMITS
from rollbook.imports.order import limits_of
from rollbook.imports.spec import OPTIONS, spec_of
from rollbook.imports.spool import Spool
from rollbook.lists import ContactList
from rollbook.options import as_flags
from rollbook.search import ID_MAX

if TYPE_CHECKING:
    from rollbook.cli.progress import Progress


@click.command("import", cls=Command)
@click.argument("path", metavar="FILE", type=click.Path())
@option_flags(OPTIONS)
@click.option(
    "--yes", is_flag=True, help="Do not ask before --mode replace removes more than half of a list's members."
)
@click.option(
    "--rejects",
    "rejects_path",
    metavar="FILE",
    type=click.Path(),
    help="Write the rejected rows to this CSV file.",
)
@csv_flags
@strict_flag
@allow_rejects_flag
@click.option("--quiet", is_flag=True, help="Show no progress.")
@account_flags
@flags("database_url", "spool_dir", *LIMITS)
@json_flag
def import_file(
    settings: Settings,
    path: str,
    account_name: str | None,
    sandbox: bool,
    yes: bool,
    rejects_path: str | None,
    raw: bool,
    bom: bool,
    strict: bool,
    allow_rejects: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Import the contacts in FILE (- for standard input).

    CSV, XLSX, Parquet, JSON lines and vCard, plain or compressed by gzip or zstd, are recognized by their
    content. Phones on the stop list stay there. If the command is killed, a running service finishes the
    import, or `rollbook imports resume` does.
    """
    if strict and allow_rejects:
        raise click.UsageError("--strict and --allow-rejects do not go together.")
    name: str | None = options["list"]
    options["confirm"] = yes
    with usage_errors():
        spec_of(options, list=0 if name is not None else None)  # its list is looked up below
    spool = Spool(config.spool_of(settings))
    with (
        _rejects_file(rejects_path, path) as rejects_file,
        _stopping() as stopping,
        database_of(settings) as database,
    ):
        account_id = account_of(database, account_name, sandbox=sandbox)
        named_list = database.read(lists.resolve_or_new, account_id, name) if name is not None else None
        if isinstance(named_list, int) and not (quiet or as_json):
            _tell_list(database.read(lists.get, account_id, named_list), str(name))
        spec = spec_of(options, list=named_list)
        if path == "-":
            source, file = "standard input", spooled_input(spool, stopping)
            put: Callable[[str, Path], str] = spool.put
        else:
            source, file = Path(path).name, Path(path)
            _must_be_readable(file)
            put = spool.point
        import_ = database.write(
            imports.begin,
            account_id,
            spec=spec,
            source=source,
            size_bytes=file.stat().st_size,
            put=lambda folder: put(folder, file),
        )
        if path == "-":
            file.unlink()
        import_ = _worked_on(settings, database, spool, import_, stopping, quiet=quiet or as_json)
        if import_.state == "confirm" and _confirmed(import_, stopping):
            import_ = database.write(imports.confirm, account_id, import_.id)
            import_ = _worked_on(settings, database, spool, import_, stopping, quiet=quiet or as_json)
        if rejects_file is not None and (found := spool.rejects(import_.folder)):
            _fill(rejects_file, str(rejects_path), found, raw=raw, bom=bom)
    _print_import(import_, as_json=as_json, rejects_path=rejects_path)
    end(import_, strict=strict, allow_rejects=allow_rejects)


@contextmanager
def _rejects_file(path: str | None, source: str) -> Iterator[BinaryIO | None]:
    """The file for the rejects, open before anything is imported; what is in it stays until they come.

    Raises:
        CannotWrite: it cannot be written, or is the file that is imported.
    """
    if path is None:
        yield None
        return
    if path == "-":
        raise CannotWrite(path, "name a file; `rollbook imports rejects ID` prints the rejects of an import")
    must_differ(path, source)
    try:
        is_new = not os.path.lexists(path)
        file = os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666), "wb")
    except OSError as error:
        raise CannotWrite(path, (error.strerror or str(error)).lower()) from error
    try:
        yield file
    finally:
        if is_new and not os.fstat(file.fileno()).st_size:  # there were none to come
            os.unlink(path)
        with suppress(OSError):  # what could not be written was told when it was
            file.close()


def _fill(file: BinaryIO, path: str, rejects: Path, *, raw: bool, bom: bool) -> None:
    try:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            file.truncate(0)
        file.writelines(csv_pieces(rejects, raw=raw, bom=bom))
        file.flush()
    except OSError as error:
        raise CannotWrite(path, (error.strerror or str(error)).lower()) from error


def _tell_list(meant: ContactList, word: str) -> None:
    """Say which list it is that was named by its id: it may not be the one that somebody had in mind."""
    if texts.normal(word.strip()) != meant.name:
        say(f"The list {word.strip()} is {meant.name!r}.", err=True)


def _must_be_readable(path: Path) -> None:
    if path.is_dir():
        raise BadFile(f"{path} is a folder, not a file.")
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise BadFile(f"The name {path} is not UTF-8 text: rename it, or give the file as -.") from None
    try:
        path.open("rb").close()
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {(error.strerror or str(error)).lower()}.") from error


def _worked_on(
    settings: Settings,
    database: Database,
    spool: Spool,
    import_: Import,
    stopping: threading.Event,
    *,
    quiet: bool,
) -> Import:
    minder = Minder(database, settings.database_url, spool, limits_of(settings))
    with contextlib.closing(minder), _progress(quiet) as progress:
        found = minder.run(import_, stopping, progress.tell)
        if found is None:
            minder.close()
            say(
                f"Stopped. Import {import_.id} is kept: a running service goes on with it, or "
                f"`rollbook imports resume {import_.id}`; `rollbook imports cancel {import_.id}` ends it.",
                err=True,
            )
            sys.exit(INTERRUPTED)
        return found


def _confirmed(import_: Import, stopping: threading.Event) -> bool:
    """Ask on a terminal whether a list is to be replaced."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    try:
        with interruptible(stopping):
            return confirmed(f"{_waits_for(import_)} Go on?")
    except (click.Abort, KeyboardInterrupt):
        say("", err=True)  # the cursor stands behind the question
        return False


def _waits_for(import_: Import) -> str:
    report = import_.report
    return (
        f"Import {import_.id} would take {report.leaving:,} of {report.members:,} members out of the list "
        "that it replaces."
    )


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that is set on SIGINT and SIGTERM."""
    event = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: event.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress]:
    from rollbook.cli.progress import Progress

    with Progress(quiet=quiet) as progress:
        yield progress


@click.group("imports", cls=CommandGroup)
def imports_group() -> None:
    """Imports: what became of them; cancel, undo, resume."""


@imports_group.command("list")
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, imports.SHOWN_MAX),
    help="How many to show.",
)
@account_flags
@flags("database_url")
@json_flag
def imports_list(
    settings: Settings, account_name: str | None, sandbox: bool, limit: int, as_json: bool
) -> None:
    """Show the newest imports."""
    with database_of(settings) as database:
        account_id = account_of(database, account_name, sandbox=sandbox)
        found = database.read(imports.recent, account_id, limit=limit)
    if as_json:
        print_json([_told(import_) for import_ in found])
        return
    rows = [
        [
            str(import_.id),
            import_.source,
            import_.state + (" (dry run)" if import_.spec.dry_run else ""),
            str(import_.rows_read),
            str(import_.report.created),
            str(import_.report.rows_rejected),
            import_.outcome or "",
            date(import_.created_at),
        ]
        for import_ in found
    ]
    print_table(["ID", "FILE", "STATE", "ROWS", "NEW", "REJECTED", "OUTCOME", "CREATED (UTC)"], rows)


def _known_size(_: click.Context, __: click.Parameter, import_id: int) -> int:
    """An id that a database can be asked for."""
    if import_id > ID_MAX:
        raise click.ClickException(str(NotFound("import", import_id)))
    return import_id


_import_id = click.argument("import_id", metavar="ID", type=click.INT, callback=_known_size)


@imports_group.command("show")
@_import_id
@account_flags
@flags("database_url")
@json_flag
def imports_show(
    settings: Settings, account_name: str | None, sandbox: bool, import_id: int, as_json: bool
) -> None:
    """Show the progress and report of import ID."""
    with database_of(settings) as database:
        account_id = account_of(database, account_name, sandbox=sandbox)
        import_ = database.read(imports.get, account_id, import_id)
    _print_import(import_, as_json=as_json)


@imports_group.command("rejects")
@_import_id
@csv_flags
@account_flags
@flags("database_url", "spool_dir")
def imports_rejects(
    settings: Settings, account_name: str | None, sandbox: bool, import_id: int, raw: bool, bom: bool
) -> None:
    """Print the rejected rows of import ID as CSV: line, reason, message, and the original row."""
    with database_of(settings) as database:
        account_id = account_of(database, account_name, sandbox=sandbox)
        import_ = database.read(imports.get, account_id, import_id)
    path = Spool(config.spool_of(settings)).rejects(import_.folder)
    if path is None:
        raise NotNow(f"The rejects of import {import_id} are not in the spool (any more).")
    out = standard_output()
    out.writelines(csv_pieces(path, raw=raw, bom=bom))
    out.flush()


@imports_group.command("cancel")
@_import_id
@account_flags
@flags("database_url")
@json_flag
def imports_cancel(
    settings: Settings, account_name: str | None, sandbox: bool, import_id: int, as_json: bool
) -> None:
    """Cancel import ID. What it has changed so far stays; see `imports undo`."""
    with database_of(settings) as database:
        account_id = account_of(database, account_name, sandbox=sandbox)
        import_ = database.write(imports.cancel, account_id, import_id)
    if as_json:
        print_json(_told(import_))
    elif import_.ended:
        say(f"Import {import_id} is cancelled.")
    else:
        say(f"Import {import_id} ends after the chunk that is under way.")


@imports_group.command("confirm")
@_import_id
@allow_rejects_flag
@click.option("--quiet", is_flag=True, help="Show no progress.")
@account_flags
@flags("database_url", "spool_dir", *LIMITS)
@json_flag
def imports_confirm(
    settings: Settings,
    account_name: str | None,
    sandbox: bool,
    import_id: int,
    allow_rejects: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Continue import ID, which waits because it removes more than half of a list's members."""
    spool = Spool(config.spool_of(settings))
    with _stopping() as stopping, database_of(settings) as database:
        account_id = account_of(database, account_name, sandbox=sandbox)
        _must_be_here(spool, database.read(imports.get, account_id, import_id))
        import_ = database.write(imports.confirm, account_id, import_id)
        import_ = _worked_on(settings, database, spool, import_, stopping, quiet=quiet or as_json)
    _print_import(import_, as_json=as_json)
    end(import_, allow_rejects=allow_rejects)


def _must_be_here(spool: Spool, import_: Import) -> None:
    if not spool.has(import_.folder):
        raise NotNow(f"The files of import {import_.id} are not in the spool {spool.path}.")


@imports_group.command("undo")
@_import_id
@click.option("--quiet", is_flag=True, help="Show no progress.")
@account_flags
@flags("database_url", "spool_dir", *LIMITS)
@json_flag
def imports_undo(
    settings: Settings,
    account_name: str | None,
    sandbox: bool,
    import_id: int,
    quiet: bool,
    as_json: bool,
) -> None:
    """Remove the contacts and members that import ID created, unless changed since. Stops stay."""
    spool = Spool(config.spool_of(settings))
    with _stopping() as stopping, database_of(settings) as database:
        account_id = account_of(database, account_name, sandbox=sandbox)
        import_ = database.write(imports.request_undo, account_id, import_id)
        if not import_.ended:
            import_ = _worked_on(settings, database, spool, import_, stopping, quiet=quiet or as_json)
    _print_import(import_, as_json=as_json)
    if import_.state != "undone":
        sys.exit(1)


@imports_group.command("resume")
@_import_id
@allow_rejects_flag
@click.option("--quiet", is_flag=True, help="Show no progress.")
@account_flags
@flags("database_url", "spool_dir", *LIMITS)
@json_flag
def imports_resume(
    settings: Settings,
    account_name: str | None,
    sandbox: bool,
    import_id: int,
    allow_rejects: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Continue import ID here; if another process is working on it, watch."""
    spool = Spool(config.spool_of(settings))
    with _stopping() as stopping, database_of(settings) as database:
        account_id = account_of(database, account_name, sandbox=sandbox)
        import_ = database.read(imports.get, account_id, import_id)
        if not import_.ended:
            _must_be_here(spool, import_)
            import_ = _worked_on(settings, database, spool, import_, stopping, quiet=quiet or as_json)
    _print_import(import_, as_json=as_json)
    end(import_, allow_rejects=allow_rejects)


@click.command(cls=Command)
@click.option("--until-idle", is_flag=True, help="Exit when there is nothing left to do.")
@flags("database_url", "spool_dir", "import_keep_days", "log_level", *LIMITS)
def work(settings: Settings, until_idle: bool) -> None:
    """Work on imports until SIGTERM. The service starts such workers by itself; run more with PostgreSQL.

    Imports whose files are not in this machine's spool are left to other machines.
    """
    from rollbook.imports import process

    database = opened(settings)
    try:
        database.update()
        os.umask(KEPT_BY_THE_SERVICE)
        with _stopping() as stopping:
            spool = Spool(config.spool_of(settings))
            minder = Minder(database, settings.database_url, spool, limits_of(settings))
            process.run(
                database,
                spool,
                minder,
                stopping,
                keep_days=settings.import_keep_days,
                until_idle=until_idle,
            )
    finally:
        database.close()


def _told(import_: Import) -> dict[str, Any]:
    """An import as a command tells of it: with its outcome, and with flags in its error and its warnings."""
    warnings = [as_flags(warning) for warning in import_.report.warnings]
    told = msgspec.structs.replace(
        import_,
        error=as_flags(import_.error) if import_.error is not None else None,
        report=msgspec.structs.replace(import_.report, warnings=warnings),
    )
    shown: dict[str, Any] = {}
    for name, value in msgspec.to_builtins(told).items():
        shown[name] = value
        if name == "state":
            shown["outcome"] = import_.outcome
    return shown


def _print_import(import_: Import, *, as_json: bool, rejects_path: str | None = None) -> None:
    if as_json:
        print_json(_told(import_))
        return
    report = import_.report
    if import_.error:
        say(f"Error: {as_flags(import_.error)}", err=True)
    if import_.state == "confirm":
        say(
            f"{_waits_for(import_)} Nothing was changed yet: `rollbook imports confirm {import_.id}` goes "
            f"on, `rollbook imports cancel {import_.id}` ends it; --yes does not ask.",
            err=True,
        )
    would = (
        "Dry run: nothing was changed. It would be:"
        if import_.spec.dry_run and import_.state == "done"
        else ""
    )
    say(would or f"Import {import_.id} of {import_.source}: {import_.state}.")
    if report.columns:
        used = [
            f"{column} -> {meaning}" if column != meaning else column
            for column, meaning in report.columns.items()
            if meaning
        ]
        left = [column for column, meaning in report.columns.items() if not meaning]
        say(f"Columns: {', '.join(used)}" + (f"; left out: {', '.join(left)}" if left else "") + ".")
    if report.other_phone_columns:
        others = ", ".join(report.other_phone_columns)
        say(f"Other columns of phones, not used: {others} (--map COLUMN=phone for each, or --all-phones).")
    if report.file:
        say(f"Read as {', '.join(_ways(report))}.")
    if report.hidden_rows:
        say(f"hidden rows: {report.hidden_rows:,} ({'left out' if import_.spec.skip_hidden else 'imported'})")
    for warning in report.warnings:
        say(f"Warning: {as_flags(warning)}", err=True)
    rows = [[label, f"{number:,}"] for label, number in _numbers(import_) if number or label == "read"]
    if rows:
        width = max(len(number) for _, number in rows)
        print_table(["ROWS", ""], [[label, number.rjust(width)] for label, number in rows])
    if report.rejected and rejects_path is None and import_.state == "done":
        say(f"Rejected rows with their lines: rollbook imports rejects {import_.id}")


def _ways(report: Report) -> Iterator[str]:
    """How a file was read, in words: `csv`, `encoding utf-8`, `header: line 3`."""
    file = report.file
    yield file.get("format", "?")
    for name in ("compression", "encoding", "delimiter", "sheet"):
        if name in file:
            yield f"{name} {file[name] if name != 'delimiter' else repr(file[name])}"
    if report.header:
        yield f"header: {report.header}"


def _numbers(import_: Import) -> Sequence[tuple[str, int]]:
    report = import_.report
    return [
        ("read", import_.rows_read),
        ("further phones in these", report.further_phones),
        *(
            (f"rejected: {reason.replace('_', ' ')}", number)
            for reason, number in sorted(report.rejected.items())
        ),
        ("blank, passed over", report.blank),
        *((f"numbers for {kind}, left out", number) for kind, number in report.left_out.items()),
        ("duplicate in the file (the last one counts)", report.duplicates),
        ("new contacts", report.created),
        ("updated contacts", report.updated),
        ("unchanged contacts", report.unchanged),
        ("not in the book, left out", report.not_in_book),
        ("only for the stop list", report.only_stopped),
        ("joined the list", report.joined),
        ("removed from the list", report.removed),
        ("would leave the list", report.leaving if import_.state == "confirm" else 0),
        ("stopped before, and still", report.stopped),
        *((f"  of these on {channel}", number) for channel, number in report.stopped_on.items()),
        ("stopped by the file itself", report.stops_in_file),
        ("newly stopped", report.stops_added),
        *((f"undo: {what.replace('_', ' ')}", number) for what, number in report.undone.items()),
    ]
