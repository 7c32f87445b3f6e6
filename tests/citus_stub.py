"""A database of plain PostgreSQL that answers as the coordinator of Citus, or as another node of it.

The extension's entry, its tables and its functions are where those of Citus are (pg_catalog), and the functions
refuse what Citus refuses (its source, release 13.2). They place nothing: what they were told stands in
`stub_call`, and the rows stay where they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import psycopg

_SETUP = """
    CREATE SCHEMA stub;

    INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
    VALUES (99999, 'citus', 10, 11, false, '13.2-1');

    CREATE TABLE stub.call (number serial PRIMARY KEY, text text NOT NULL);

    CREATE TABLE pg_catalog.pg_dist_local_group (groupid int NOT NULL);

    INSERT INTO pg_dist_local_group VALUES (0);

    CREATE TABLE pg_catalog.pg_dist_node (
        nodename text NOT NULL, nodeport int NOT NULL, groupid int NOT NULL, isactive bool DEFAULT true,
        noderole text DEFAULT 'primary', shouldhaveshards bool DEFAULT true, stub_answers bool DEFAULT true
    );

    CREATE TABLE pg_catalog.pg_dist_partition (
        logicalrelid regclass PRIMARY KEY, partmethod "char" NOT NULL, repmodel "char" NOT NULL
    );

    CREATE FUNCTION stub.told(what text, relation regclass, partmethod "char", repmodel "char") RETURNS void AS $$
    BEGIN
        IF (SELECT groupid FROM pg_dist_local_group) <> 0 THEN
            RAISE EXCEPTION 'operation is not allowed on this node' USING ERRCODE = 'XX000';
        END IF;
        IF NOT EXISTS (SELECT FROM pg_dist_node WHERE groupid = 0) THEN
            RAISE EXCEPTION 'coordinator is not added to the metadata' USING ERRCODE = 'XX000';
        END IF;
        IF EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = relation) THEN
            RAISE EXCEPTION 'table "%" is already distributed', relation;
        END IF;
        INSERT INTO pg_dist_partition VALUES (relation, partmethod, repmodel);
        INSERT INTO stub.call (text) VALUES (what);
    END $$ LANGUAGE plpgsql;

    CREATE FUNCTION pg_catalog.create_distributed_table(relation regclass, by_column text, colocate_with text)
    RETURNS void AS $$
    BEGIN
        IF colocate_with <> 'none' AND NOT EXISTS (
            SELECT FROM pg_dist_partition WHERE logicalrelid = to_regclass(colocate_with) AND partmethod = 'h'
        ) THEN
            RAISE EXCEPTION 'relation % is not distributed', colocate_with;
        END IF;
        PERFORM stub.told(format('distribute %s by %s with %s', relation, by_column, colocate_with), relation, 'h', 's');
    END $$ LANGUAGE plpgsql;

    CREATE FUNCTION pg_catalog.create_reference_table(relation regclass) RETURNS void AS $$
        SELECT stub.told(format('reference %s', relation), relation, 'n', 't')
    $$ LANGUAGE sql;

    CREATE FUNCTION pg_catalog.citus_add_local_table_to_metadata(relation regclass) RETURNS void AS $$
        SELECT stub.told(format('local %s', relation), relation, 'n', 's')
    $$ LANGUAGE sql;

    CREATE FUNCTION pg_catalog.truncate_local_data_after_distributing_table(relation regclass) RETURNS void AS $$
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_dist_partition WHERE logicalrelid = relation) THEN
            RAISE EXCEPTION 'supplied parameter is not a distributed relation';
        END IF;
        INSERT INTO stub.call (text) VALUES (format('truncate %s', relation));
    END $$ LANGUAGE plpgsql;

    CREATE FUNCTION pg_catalog.run_command_on_workers(command text)
    RETURNS TABLE (nodename text, nodeport int, success bool, result text) AS $$
        SELECT nodename, nodeport, stub_answers, command FROM pg_dist_node WHERE groupid > 0
    $$ LANGUAGE sql;
"""


class Citus:
    """The stub in one database.

    Args:
        url: of a database of its own, of a superuser.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.run(_SETUP)

    def add_nodes(self, workers: int = 2) -> None:
        """Make the coordinator known, and some workers."""
        self.run("INSERT INTO pg_dist_node VALUES ('coordinator', 5432, 0, true, 'primary', false)")
        for number in range(1, workers + 1):
            self.run(f"INSERT INTO pg_dist_node VALUES ('worker-{number}', 5432, {number})")

    def become_a_worker(self) -> None:
        """Answer as one of the other nodes from now on."""
        self.run("UPDATE pg_dist_local_group SET groupid = 1")

    def take_down(self, node: str) -> None:
        """Let a worker answer no more."""
        self.run(f"UPDATE pg_dist_node SET stub_answers = false WHERE nodename = '{node}'")

    def calls(self) -> list[str]:
        """What its functions were told since the last question."""
        told = [text for (text,) in self.run("SELECT text FROM stub.call ORDER BY number")]
        self.run("TRUNCATE stub.call")
        return told

    def run(self, sql: str) -> list[tuple[Any, ...]]:
        """Run statements as a superuser who may change the catalog."""
        options = "-c allow_system_table_mods=on"
        with psycopg.connect(self.url, autocommit=True, options=options) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


@contextmanager
def recorded() -> Iterator[list[str]]:
    """Every statement that this process sends, in order, with the values of its parameters behind it."""
    sent: list[str] = []
    original = psycopg.Connection.execute

    def execute(self: Any, query: Any, params: Any = None, **more: Any) -> Any:
        text = (
            query
            if isinstance(query, str)
            else query.decode()
            if isinstance(query, bytes)
            else query.as_string(self)
        )
        sent.append(" ".join(text.split()) + (f" {params}" if params else ""))
        return original(self, query, params, **more)

    with mock.patch.object(psycopg.Connection, "execute", execute):
        yield sent
