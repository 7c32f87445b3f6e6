"""Each kind of statement that would leave its account is found, and good ones are not."""

from __future__ import annotations

import pytest

from tests.statements.check import faults, tables_of_accounts

TABLES = tables_of_accounts()

GOOD = {
    "a filter": "SELECT id FROM contact WHERE account_id = %(account_id)s AND phone = %(phone)s",
    "a cast parameter": "SELECT id FROM contact WHERE account_id = CAST(%(account_id)s AS bigint)",
    "a join on the account": """
        SELECT contact.id FROM membership JOIN contact
          ON contact.account_id = membership.account_id AND contact.id = membership.contact_id
        WHERE membership.account_id = %(account_id)s""",
    "an outer join": """
        SELECT contact.id FROM contact LEFT JOIN membership
          ON membership.account_id = contact.account_id AND membership.contact_id = contact.id
        WHERE contact.account_id = %(account_id)s""",
    "a sub-select": """
        SELECT id FROM contact WHERE contact.account_id = %(account_id)s AND EXISTS (
          SELECT 1 FROM membership WHERE membership.account_id = contact.account_id
            AND membership.contact_id = contact.id)""",
    "a derived table": """
        SELECT stop_list.id FROM (SELECT account_id, phone FROM contact WHERE account_id = %(account_id)s) AS found
        JOIN stop_list ON stop_list.account_id = found.account_id AND stop_list.phone = found.phone""",
    "values as rows": """
        SELECT contact.id FROM unnest(CAST(%(wanted)s AS bigint[])) AS wanted (phone) CROSS JOIN contact
        WHERE contact.account_id = %(account_id)s AND contact.phone = wanted.phone""",
    "an insert of values": "INSERT INTO contact (account_id, id, phone) VALUES (%(account_id)s, %(id)s, %(phone)s)",
    "an insert of rows": """
        INSERT INTO membership (account_id, list_id, contact_id)
        SELECT %(account_id)s, %(list_id)s, new.id FROM unnest(CAST(%(new)s AS bigint[])) AS new (id)
        ON CONFLICT DO NOTHING""",
    "an update": "UPDATE contact SET stop_mask = %(mask)s WHERE account_id = %(account_id)s AND id = %(id)s",
    "a delete": "DELETE FROM stop_list WHERE stop_list.account_id = %(account_id)s AND phone = ANY(%(phones)s)",
    "an or beside the filter": "SELECT id FROM contact WHERE account_id = %(account_id)s AND (id = 1 OR phone = 2)",
    "a table of nobody": "SELECT next_id FROM id_block WHERE kind = %(kind)s",
    "a copy": "COPY (SELECT id FROM contact WHERE account_id = %(account_id)s) TO STDOUT (FORMAT csv)",
    "no query": "SAVEPOINT call",
}

BAD = {
    "an unfiltered read": ("SELECT id FROM contact WHERE phone = %(phone)s", "contact is not filtered"),
    "an unfiltered sub-select": (
        """SELECT id FROM contact WHERE account_id = %(account_id)s AND id IN (
             SELECT contact_id FROM membership WHERE list_id = %(list_id)s)""",
        "membership is not filtered",
    ),
    "an unfiltered part of a union": (
        """SELECT id FROM contact WHERE account_id = %(account_id)s
           UNION ALL SELECT id FROM contact_list""",
        "contact_list is not filtered",
    ),
    "an unfiltered common table": (
        "WITH found AS (SELECT id FROM contact) SELECT id FROM found",
        "contact is not filtered",
    ),
    "an OR": (
        "SELECT id FROM contact WHERE account_id = %(account_id)s OR phone = %(phone)s",
        "OR around account_id",
    ),
    "a join on ids only": (
        """SELECT contact.id FROM membership JOIN contact ON contact.id = membership.contact_id
           WHERE membership.account_id = %(account_id)s""",
        "contact is not filtered",
    ),
    "a filter in an outer join": (
        """SELECT contact.id FROM contact LEFT JOIN membership
             ON membership.account_id = %(account_id)s AND contact.account_id = %(account_id)s""",
        "contact is not filtered",
    ),
    "an account that is no parameter": (
        "SELECT id FROM contact WHERE account_id = id",
        "contact is not filtered",
    ),
    "an INSERT without account": (
        "INSERT INTO contact (id, phone) VALUES (%(id)s, %(phone)s)",
        "INSERT INTO contact without account_id",
    ),
    "an INSERT of another account": (
        "INSERT INTO contact (account_id, id) SELECT new.id, new.id FROM unnest(%(new)s) AS new (id)",
        "account_id is not a parameter",
    ),
    "a sub-select in VALUES": (
        "INSERT INTO contact (account_id, id) VALUES (%(account_id)s, (SELECT 1))",
        "a sub-select in VALUES",
    ),
    "a SET of the account": (
        "UPDATE contact SET account_id = %(other)s WHERE account_id = %(account_id)s",
        "SET account_id",
    ),
    "now() in an UPDATE": (
        "UPDATE contact SET created_at = now() WHERE account_id = %(account_id)s",
        "in UPDATE or ON CONFLICT",
    ),
    "random() in an UPDATE": (
        "UPDATE contact SET stop_mask = random() WHERE account_id = %(account_id)s",
        "in UPDATE or ON CONFLICT",
    ),
    "clock_timestamp() in ON CONFLICT": (
        """INSERT INTO contact (account_id, id) VALUES (%(account_id)s, %(id)s)
           ON CONFLICT (account_id, id) DO UPDATE SET created_at = clock_timestamp()""",
        "in UPDATE or ON CONFLICT",
    ),
    "a MERGE": (
        """MERGE INTO contact USING stop_list ON contact.account_id = stop_list.account_id
           WHEN MATCHED THEN DELETE""",
        "MERGE",
    ),
    "a copy of everything": ("COPY (SELECT id FROM contact) TO STDOUT (FORMAT csv)", "contact is not filtered"),
    "what cannot be read": ("SELECT FROM WHERE (", "cannot be read"),
}  # fmt: skip


def test_the_tables_of_accounts_come_from_the_migrations() -> None:
    assert {"account", "contact", "membership", "stop_list", "contact_list", "import_job"} <= TABLES
    assert not {"id_block", "service_secret", "schema_migration"} & TABLES


@pytest.mark.parametrize("kind", GOOD)
def test_a_statement_that_stays_with_its_account_is_fine(kind: str) -> None:
    assert faults(GOOD[kind], TABLES) == []


@pytest.mark.parametrize("kind", BAD)
def test_a_statement_that_leaves_its_account_is_found(kind: str) -> None:
    sql, fault = BAD[kind]
    assert fault in "; ".join(faults(sql, TABLES))
