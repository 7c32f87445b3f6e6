"""`rollbook import`, `rollbook imports ...` and `rollbook work`: start, manage and work on imports."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
    opened,
    print_json,
    print_table,
    say,
    standard_output,
    usage_errors,
)
from rollbook.cli.ending import allow_rejects_flag, end, strict_flag
from rollbook.cli.import_files import fill_rejects, must_be_readable, rejects_file
from rollbook.cli.import_report import print_import, shown, waits_for
from rollbook.cli.interrupts import INTERRUPTED, interruptible, spooled_input, stop_on_signals
from rollbook.cli.options import option_flags
from rollbook.config import Settings
from rollbook.db import Database
from rollbook.errors import NotFound, NotNow
from rollbook.files.formulas import csv_pieces
from rollbook.imports import Import
from rollbook.imports.minder import Minder
from rollbook.imports.order import FLAGS as LIMITS
from rollbook.imports.order import limits_of
from rollbook.imports.spec import OPTIONS, spec_of
from rollbook.imports.spool import Spool
from rollbook.lists import ContactList
from rollbook.search import ID_MAX

if TYPE_CHECKING:
    from rollbook.cli.progress import Progress


def work_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the flags for work on an import; the command gets `settings` and their values by
    name."""
    command = account_flags(flags("database_url", "spool_dir", *LIMITS)(json_flag(command)))
    return click.option("--quiet", is_flag=True, help="Show no progress.")(command)


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
@work_flags
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
        spec_of(options, list=0 if name is not None else None)  # the list is looked up below
    spool = Spool(config.spool_of(settings))
    with (
        rejects_file(rejects_path, path) as rejects,
        stop_on_signals() as stopping,
        database_of(settings) as database,
    ):
        account_id = account_of(database, account_name, sandbox=sandbox)
        named_list = database.read(lists.resolve_or_new, account_id, name) if name is not None else None
        if isinstance(named_list, int) and not (quiet or as_json):
            _say_which_list(database.read(lists.get, account_id, named_list), str(name))
        spec = spec_of(options, list=named_list)
        if path == "-":
            source, file = "standard input", spooled_input(spool, stopping)
            put: Callable[[str, Path], str] = spool.put
        else:
            source, file = Path(path).name, Path(path)
            must_be_readable(file)
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
        if rejects is not None and (found := spool.rejects(import_.folder)):
            fill_rejects(rejects, str(rejects_path), found, raw=raw, bom=bom)
    print_import(import_, as_json=as_json, rejects_path=rejects_path)
    end(import_, strict=strict, allow_rejects=allow_rejects)


def _say_which_list(found: ContactList, word: str) -> None:
    """Name the list that was given by its id: the user may have had another one in mind."""
    if texts.normal(word.strip()) != found.name:
        say(f"The list {word.strip()} is {found.name!r}.", err=True)


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
    """Ask on a terminal whether a list should be replaced."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    try:
        with interruptible(stopping):
            return confirmed(f"{waits_for(import_)} Go on?")
    except (click.Abort, KeyboardInterrupt):
        say("", err=True)  # the cursor is behind the question
        return False


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
        print_json([shown(import_) for import_ in found])
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
    """An id that the database can look up."""
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
    print_import(import_, as_json=as_json)


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
        print_json(shown(import_))
    elif import_.ended:
        say(f"Import {import_id} is cancelled.")
    else:
        say(f"Import {import_id} ends after the chunk that is under way.")


@imports_group.command("confirm")
@_import_id
@allow_rejects_flag
@work_flags
def imports_confirm(settings: Settings, import_id: int, allow_rejects: bool, **how: Any) -> None:
    """Continue import ID, which waits because it removes more than half of a list's members."""

    def confirm(database: Database, spool: Spool, account_id: int) -> Import:
        _must_be_here(spool, database.read(imports.get, account_id, import_id))
        return database.write(imports.confirm, account_id, import_id)

    end(_continued(settings, confirm, **how), allow_rejects=allow_rejects)


@imports_group.command("undo")
@_import_id
@work_flags
def imports_undo(settings: Settings, import_id: int, **how: Any) -> None:
    """Remove the contacts and members that import ID created, unless changed since. Stops stay."""

    def undo(database: Database, _: Spool, account_id: int) -> Import:
        return database.write(imports.request_undo, account_id, import_id)

    if _continued(settings, undo, **how).state != "undone":
        sys.exit(1)


@imports_group.command("resume")
@_import_id
@allow_rejects_flag
@work_flags
def imports_resume(settings: Settings, import_id: int, allow_rejects: bool, **how: Any) -> None:
    """Continue import ID here; if another process is working on it, watch."""

    def resume(database: Database, spool: Spool, account_id: int) -> Import:
        import_ = database.read(imports.get, account_id, import_id)
        if not import_.ended:
            _must_be_here(spool, import_)
        return import_

    end(_continued(settings, resume, **how), allow_rejects=allow_rejects)


def _continued(
    settings: Settings,
    begin: Callable[[Database, Spool, int], Import],
    *,
    account_name: str | None,
    sandbox: bool,
    quiet: bool,
    as_json: bool,
) -> Import:
    """Work on an import to its end, print it, and return it.

    Args:
        begin: returns the import to work on; called with the database, the spool and the account's id.
    """
    spool = Spool(config.spool_of(settings))
    with stop_on_signals() as stopping, database_of(settings) as database:
        import_ = begin(database, spool, account_of(database, account_name, sandbox=sandbox))
        if not import_.ended:
            import_ = _worked_on(settings, database, spool, import_, stopping, quiet=quiet or as_json)
    print_import(import_, as_json=as_json)
    return import_


def _must_be_here(spool: Spool, import_: Import) -> None:
    if not spool.has(import_.folder):
        raise NotNow(f"The files of import {import_.id} are not in the spool {spool.path}.")


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
        with stop_on_signals() as stopping:
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
