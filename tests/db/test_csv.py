"""Whole tables as text, and sets of ids, alike on both engines."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from rollbook.db import Cell, Database, Transaction

IDS = range(1, 21)


@pytest.fixture
def few_rows_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    for engine in ("sqlite", "postgres"):
        monkeypatch.setattr(f"rollbook.db.{engine}_transaction.PIECE_ROWS", 4)


@pytest.fixture
def kept(db: Database) -> Database:
    """Secrets 1 to 20, some of them without a value that a spreadsheet would show."""

    def fill(tx: Transaction) -> None:
        tx.run("DELETE FROM id_block")
        for id in IDS:
            tx.run(
                "INSERT INTO id_block (kind, next_id) VALUES (:kind, :id)",
                kind=f'{"," if id % 3 else ""}"{id}"\n' if id % 2 else f"plain {id}",
                id=id,
            )

    db.write(fill)
    return db


def rows(tx: Transaction, condition: str = "TRUE") -> str:
    return f"""
        SELECT id_block.next_id AS id, id_block.kind FROM id_block
        WHERE id_block.next_id > :after AND {condition} {tx.in_pieces("id_block.next_id")}
    """


def test_rows_come_in_pieces_of_whole_rows_in_order(kept: Database, few_rows_a_piece: None) -> None:
    cells = [Cell("source.id"), Cell("source.kind", quoted=True), Cell("NULLIF(source.id % 5, :rest)")]
    with kept.long_read() as tx:
        pieces = list(tx.csv(cells, rows(tx), "source.id <> :without", rest=0, without=7))
    assert sum(piece.rows for piece in pieces) == len(IDS) - 1
    assert len(pieces) >= 5
    found = []
    for piece in pieces:
        assert piece.data.endswith(b"\n")
        read = list(csv.reader(io.StringIO(piece.data.decode(), newline="")))
        assert len(read) == piece.rows
        found += read
    assert found == [
        [
            str(id),
            f'{"," if id % 3 else ""}"{id}"\n' if id % 2 else f"plain {id}",
            str(id % 5) if id % 5 else "",
        ]
        for id in IDS
        if id != 7
    ]


def test_pieces_in_which_nothing_is_left_do_not_end_it(kept: Database, few_rows_a_piece: None) -> None:
    with kept.long_read() as tx:
        pieces = list(tx.csv([Cell("source.id")], rows(tx), "source.id IN (1, 20)"))
    assert b"".join(piece.data for piece in pieces) == b"1\n20\n"
    with kept.long_read() as tx:
        assert list(tx.csv([Cell("source.id")], rows(tx, "FALSE"))) == []


def test_sets_of_ids_are_put_together_and_taken_from_each_other(kept: Database) -> None:
    conditions = {
        "% 2 = 0": set(IDS[1::2]),
        "% 3 = 0": set(IDS[2::3]),
        "< 9": set(range(1, 9)),
        "> 99": set(),
    }
    select = "SELECT id_block.next_id AS id FROM id_block WHERE id_block.next_id {}"
    sets = [(select.format(text), members) for text, members in conditions.items()]
    choices: Sequence[Any] = [(), *itertools.combinations(sets, 1), *itertools.combinations(sets, 2)]
    tried = 0
    for any_of, all_of, none_of in itertools.product(choices, choices, choices):
        if not any_of and not all_of:
            continue
        tried += 1
        meant = set(IDS)
        if any_of:
            meant &= set[int]().union(*(members for _, members in any_of))
        for _, members in all_of:
            meant &= members
        for _, members in none_of:
            meant -= members

        def found(
            tx: Transaction, any_of: Any = any_of, all_of: Any = all_of, none_of: Any = none_of
        ) -> list[int]:
            sql = tx.merged(
                any_of=[sql for sql, _ in any_of],
                all_of=[sql for sql, _ in all_of],
                none_of=[sql for sql, _ in none_of],
            )
            return tx.all(int, f"SELECT id FROM ({sql}) AS chosen", most=-1)

        ids = kept.read(found)
        assert sorted(ids) == sorted(meant)
    assert tried == 11 * 11 * 11 - 11


def test_moments_and_texts_are_spelled_alike(db: Database) -> None:
    def spelled(tx: Transaction) -> list[str | None]:
        moments = [
            tx.one(str, f"SELECT {tx.iso(':moment')} AS text", moment=moment) for moment in (0, 1651155676)
        ]
        texts = ['say "hi"', "back\\slash", "two\nlines", "\u041a\u0438\u0457\u0432", "\x01", "/"]
        return [
            *moments,
            *(tx.one(str, f"SELECT {tx.json_text('CAST(:text AS text)')} AS t", text=text) for text in texts),
        ]

    assert db.read(spelled) == [
        "1970-01-01T00:00:00Z",
        "2022-04-28T14:21:16Z",
        '"say \\"hi\\""',
        '"back\\\\slash"',
        '"two\\nlines"',
        '"\u041a\u0438\u0457\u0432"',
        '"\\u0001"',
        '"/"',
    ]


def test_reading_whole_tables_and_rows_again_answers_the_same(kept: Database) -> None:
    def counted(tx: Transaction) -> list[int | None]:
        sql = "SELECT count(*) FROM id_block AS a CROSS JOIN id_block AS b WHERE a.next_id = b.next_id"
        found = [tx.one(int, sql)]
        tx.read_whole_tables()
        found.append(tx.one(int, sql))
        tx.read_whole_tables(joined=True)
        found.append(tx.one(int, sql))
        tx.look_rows_up()
        found.append(tx.one(int, sql))
        return found

    assert kept.read(counted) == [len(IDS)] * 4
