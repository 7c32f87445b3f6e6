"""Whether a statement stays with one account, so that on many machines it runs on the one that has it.

Every table with an `account_id` has to be filtered by it where the table is named, or be equal to one that is. What
Citus refuses, or would do differently on each machine, is found too: see `faults`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import sqlglot
from sqlglot import exp

from rollbook.db import migrations

ACCOUNT = "account_id"

_VOLATILE = {
    "now",
    "random",
    "clock_timestamp",
    "statement_timestamp",
    "timeofday",
    "nextval",
    "gen_random_uuid",
}
_VOLATILE_NODES = (
    exp.CurrentTimestamp,
    exp.CurrentDate,
    exp.CurrentTime,
    exp.CurrentDatetime,
    exp.Localtime,
    exp.Localtimestamp,
    exp.Rand,
    exp.Uuid,
)
_COPY = re.compile(r"COPY \((.*)\)\s+TO STDOUT\b.*", re.DOTALL)
_NO_QUERY = re.compile(
    r"\s*(?:SAVEPOINT|RELEASE|ROLLBACK|BEGIN|COMMIT|SET|START|CREATE|ALTER|DROP|ANALYZE|VACUUM)\b",
    re.IGNORECASE,
)


def tables_of_accounts() -> frozenset[str]:
    """The tables whose rows belong to accounts, by the migrations."""
    found = set()
    for migration in migrations.all_steps():
        for name, columns in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\)", migration.text, re.DOTALL):
            if re.search(rf"^\s*{ACCOUNT}\b", columns, re.MULTILINE):
                found.add(name)
    return frozenset(found)


def faults(sql: str, tables: frozenset[str]) -> list[str]:
    """What is wrong with a statement; nothing for what is no query.

    Args:
        sql: in PostgreSQL's dialect, with `%(name)s` for parameters.
        tables: see `tables_of_accounts`.
    """
    if _NO_QUERY.match(sql):
        return []
    if copied := _COPY.fullmatch(sql.strip()):
        sql = copied[1]
    try:
        tree = sqlglot.parse_one(sql, dialect="postgres")
    except sqlglot.errors.SqlglotError as error:
        return [f"cannot be read: {str(error).splitlines()[0]}"]
    return [*_Reading(tables).of(tree), *_forbidden(tree, tables)]


class _Reading:
    """Finds tables that no account is asked for, scope by scope."""

    def __init__(self, tables: frozenset[str]) -> None:
        self._tables = tables
        self._faults: list[str] = []

    def of(self, tree: exp.Expr) -> list[str]:
        self._query(tree, frozenset(), frozenset())
        return self._faults

    def _query(self, node: exp.Expr, outer: frozenset[str], tied_ctes: frozenset[str]) -> bool:
        """Look at a query and all inside of it; whether each of its rows has the account's own `account_id`.

        Args:
            outer: names of the queries around it that are tied to the account.
            tied_ctes: common table expressions whose rows are the account's.
        """
        ctes = node.args.get("with_") or node.args.get("with")
        for cte in ctes.expressions if ctes is not None else ():
            if self._query(cte.this, outer, tied_ctes):
                tied_ctes |= {cte.alias}
        if isinstance(node, exp.Subquery):
            return self._query(node.this, outer, tied_ctes)
        if isinstance(node, exp.SetOperation):
            left = self._query(node.left, outer, tied_ctes)
            return self._query(node.right, outer, tied_ctes) and left
        if isinstance(node, exp.Insert):
            self._insert(node, outer, tied_ctes)
            return False
        if isinstance(node, (exp.Select, exp.Update, exp.Delete)):
            return self._scope(node, outer, tied_ctes)
        for inner in _queries_in(node):
            self._query(inner, outer, tied_ctes)
        return False

    def _scope(self, node: exp.Expr, outer: frozenset[str], tied_ctes: frozenset[str]) -> bool:
        sources = list(_sources(node))
        named = {source.alias_or_name: source for source in sources}
        tied = set(outer)
        for name, source in named.items():
            inner = source.this if isinstance(source, exp.Lateral) else source
            if isinstance(source, exp.Table):
                if source.name in tied_ctes:
                    tied.add(name)
            elif isinstance(inner, exp.Subquery) and self._query(inner, frozenset(tied), tied_ctes):
                tied.add(name)
        alone = next(iter(named)) if len(named) == 1 else ""
        equal = []
        for condition, bound in _conditions(node):
            if not isinstance(condition, exp.EQ):
                continue
            for one, other in ((condition.left, condition.right), (condition.right, condition.left)):
                if not (isinstance(one, exp.Column) and one.name == ACCOUNT):
                    continue
                name = one.table or alone
                if bound is not None and name != bound:
                    continue
                if _is_parameter(other):
                    tied.add(name)
                elif isinstance(other, exp.Column) and other.name == ACCOUNT:
                    equal.append((name, other.table or alone))
        for _ in equal:
            tied |= {name for name, other in equal if other in tied}
        for name, source in named.items():
            if isinstance(source, exp.Table) and source.name in self._tables - tied_ctes and name not in tied:
                self._faults.append(f"{source.name} is not filtered by {ACCOUNT}")
        for inner in _queries_in(node):
            if not any(inner is source or inner is getattr(source, "this", None) for source in sources):
                self._query(inner, frozenset(tied), tied_ctes)
        if not isinstance(node, exp.Select):
            return False
        return any(
            (isinstance(column := selected.unalias(), exp.Column) and column.name == ACCOUNT)
            and (column.table or alone) in tied
            for selected in node.selects
        )

    def _insert(self, node: exp.Insert, outer: frozenset[str], tied_ctes: frozenset[str]) -> None:
        target = node.this
        table = target.this if isinstance(target, exp.Schema) else target
        source = node.expression
        if isinstance(source, (exp.Select, exp.Subquery, exp.SetOperation)):
            self._query(source, outer, tied_ctes)
        if table.name not in self._tables:
            return
        columns = [column.name for column in target.expressions] if isinstance(target, exp.Schema) else []
        if ACCOUNT not in columns:
            self._faults.append(f"INSERT INTO {table.name} without {ACCOUNT}")
            return
        place = columns.index(ACCOUNT)
        if isinstance(source, exp.Values):
            given = [row.expressions[place] for row in source.expressions]
            if any(row.find(exp.Subquery, exp.Select) for row in source.expressions):
                self._faults.append(f"INSERT INTO {table.name}: a sub-select in VALUES")
        else:
            select = source.this if isinstance(source, exp.Subquery) else source
            given = [each.selects[place].unalias() for each in _selects(select)]
        if not all(map(_is_parameter, given)):
            self._faults.append(f"INSERT INTO {table.name}: {ACCOUNT} is not a parameter")


def _forbidden(tree: exp.Expr, tables: frozenset[str]) -> Iterator[str]:
    """What is wrong wherever it stands."""
    if tree.find(exp.Merge):
        yield "MERGE"
    changes = [*tree.find_all(exp.Update), *tree.find_all(exp.OnConflict)]
    for change in changes:
        for each in change.expressions:
            if isinstance(each, exp.EQ) and isinstance(each.left, exp.Column) and each.left.name == ACCOUNT:
                yield f"SET {ACCOUNT}"
        for call in change.find_all(exp.Anonymous, *_VOLATILE_NODES):
            name = (call.name if isinstance(call, exp.Anonymous) else call.key).lower()
            if name in _VOLATILE or not isinstance(call, exp.Anonymous):
                yield f"{name}() in UPDATE or ON CONFLICT"
    for either in tree.find_all(exp.Or):
        columns = [column for column in either.find_all(exp.Column) if column.name == ACCOUNT]
        if (
            any(
                column.find_ancestor(exp.Select, exp.Update, exp.Delete)
                is either.find_ancestor(exp.Select, exp.Update, exp.Delete)
                for column in columns
            )
            and tables
        ):
            yield f"OR around {ACCOUNT}"


def _sources(node: exp.Expr) -> Iterator[exp.Expr]:
    """What stands in FROM, JOIN and USING of a query, or is its target; not what is in its sub-selects."""
    begin = node.args.get("from_") or node.args.get("from")
    if isinstance(node, (exp.Update, exp.Delete)) and node.this is not None:
        yield from _with_joins(node.this)
    if begin is not None:
        yield from _with_joins(begin.this)
    for join in node.args.get("joins") or ():
        yield from _with_joins(join.this)
    for used in node.args.get("using") or ():
        yield from _with_joins(used)
    yield from node.args.get("laterals") or ()


def _with_joins(source: exp.Expr) -> Iterator[exp.Expr]:
    yield source
    for join in source.args.get("joins") or ():
        yield from _with_joins(join.this)


def _conditions(node: exp.Expr) -> Iterator[tuple[exp.Expr, str | None]]:
    """Conditions of a query, WHERE and ON taken apart at AND, each with the one table whose rows it picks; `None`
    for all. The condition of an outer join picks rows of the table that is joined only."""
    where = node.args.get("where")
    if where is not None:
        yield from ((each, None) for each in _all_of(where.this))
    begin = node.args.get("from_") or node.args.get("from")
    for each in (node, begin.this if begin is not None else None, *(node.args.get("using") or ())):
        for join in each.args.get("joins") or () if each is not None else ():
            bound = join.this.alias_or_name if join.side else None
            yield from ((condition, bound) for condition in _all_of(join.args.get("on")))


def _all_of(condition: exp.Expr | None) -> Iterator[exp.Expr]:
    if isinstance(condition, exp.Paren):
        yield from _all_of(condition.this)
    elif isinstance(condition, exp.And):
        yield from _all_of(condition.left)
        yield from _all_of(condition.right)
    elif condition is not None:
        yield condition


def _queries_in(node: exp.Expr) -> Iterator[exp.Expr]:
    """The queries directly inside of a query."""
    for child in node.iter_expressions():
        if isinstance(child, exp.With):
            continue
        if isinstance(child, (exp.Select, exp.SetOperation)):
            yield child
        else:
            yield from _queries_in(child)


def _selects(query: exp.Expr) -> Iterator[exp.Select]:
    if isinstance(query, exp.SetOperation):
        yield from _selects(query.left)
        yield from _selects(query.right)
    elif isinstance(query, exp.Subquery):
        yield from _selects(query.this)
    elif isinstance(query, exp.Select):
        yield query


def _is_parameter(node: exp.Expr) -> bool:
    while isinstance(node, (exp.Cast, exp.Paren)):
        node = node.this
    return isinstance(node, (exp.Placeholder, exp.Parameter))
