-- Contacts, their lists, their stops, their fields. Counts stand beside what they count and change in the
-- same transaction (rollbook/counts.py).

-- stop_mask is a copy of the phone's mask in stop_list: 1 SMS, 2 Viber, 4 RCS, 8 WhatsApp.
CREATE TABLE contact (
    account_id {bigint} NOT NULL,
    id {bigint} NOT NULL,
    phone {bigint} NOT NULL,
    stop_mask {bigint} NOT NULL,
    created_at {bigint} NOT NULL,
    PRIMARY KEY (account_id, id)
) {hot};

CREATE UNIQUE INDEX contact_phone ON contact (account_id, phone);

CREATE TABLE membership (
    account_id {bigint} NOT NULL,
    list_id {bigint} NOT NULL,
    contact_id {bigint} NOT NULL,
    PRIMARY KEY (account_id, list_id, contact_id)
) {hot};

CREATE INDEX membership_of_contact ON membership (account_id, contact_id, list_id);

-- One row for each phone that any channel must not use, contact or not.
CREATE TABLE stop_list (
    account_id {bigint} NOT NULL,
    phone {bigint} NOT NULL,
    id {bigint} NOT NULL,
    mask {bigint} NOT NULL,
    created_at {bigint} NOT NULL,
    PRIMARY KEY (account_id, phone)
) {hot};

CREATE UNIQUE INDEX stop_list_id ON stop_list (account_id, id);

-- A page of one channel reads that channel's rows only.
CREATE INDEX stop_list_sms ON stop_list (account_id, id) WHERE mask & 1 <> 0;

CREATE INDEX stop_list_viber ON stop_list (account_id, id) WHERE mask & 2 <> 0;

CREATE INDEX stop_list_rcs ON stop_list (account_id, id) WHERE mask & 4 <> 0;

CREATE INDEX stop_list_whatsapp ON stop_list (account_id, id) WHERE mask & 8 <> 0;

CREATE TABLE contact_field (
    account_id {bigint} NOT NULL,
    id {bigint} NOT NULL,
    name {text} NOT NULL,
    type {text} NOT NULL,
    description {text},
    is_visible {boolean} NOT NULL,
    PRIMARY KEY (account_id, id)
) {hot};

CREATE UNIQUE INDEX contact_field_name ON contact_field (account_id, name);

-- search_key sorts as the values compare, whatever the field's type (rollbook/fields.py).
CREATE TABLE field_value (
    account_id {bigint} NOT NULL,
    contact_id {bigint} NOT NULL,
    field_id {bigint} NOT NULL,
    value {text} NOT NULL,
    search_key {text} NOT NULL,
    PRIMARY KEY (account_id, contact_id, field_id)
) {hot};

CREATE INDEX field_value_search ON field_value (account_id, field_id, search_key, contact_id);

-- Lists and fields that are gone from the API, and whose rows above still have to be removed, from the first
-- to the last; so far the one of contact reached_id, in a field with the key reached_key.
CREATE TABLE leftover (
    account_id {bigint} NOT NULL,
    kind {text} NOT NULL,
    id {bigint} NOT NULL,
    reached_key {text} NOT NULL,
    reached_id {bigint} NOT NULL,
    PRIMARY KEY (account_id, kind, id)
) {hot};

-- What the last recount of an account found.
CREATE TABLE verification (
    account_id {bigint} NOT NULL,
    verified_at {bigint} NOT NULL,
    drift {bigint} NOT NULL,
    PRIMARY KEY (account_id)
) {hot};

-- Contacts of a list that are stopped on each channel.
ALTER TABLE contact_list ADD COLUMN sms_stopped {bigint} DEFAULT 0 NOT NULL;

ALTER TABLE contact_list ADD COLUMN viber_stopped {bigint} DEFAULT 0 NOT NULL;

ALTER TABLE contact_list ADD COLUMN rcs_stopped {bigint} DEFAULT 0 NOT NULL;

ALTER TABLE contact_list ADD COLUMN whatsapp_stopped {bigint} DEFAULT 0 NOT NULL;

-- Contacts, and rows of the stop list, in all and of each channel.
ALTER TABLE account ADD COLUMN contacts {bigint} DEFAULT 0 NOT NULL;

ALTER TABLE account ADD COLUMN stops {bigint} DEFAULT 0 NOT NULL;

ALTER TABLE account ADD COLUMN sms_stops {bigint} DEFAULT 0 NOT NULL;

ALTER TABLE account ADD COLUMN viber_stops {bigint} DEFAULT 0 NOT NULL;

ALTER TABLE account ADD COLUMN rcs_stops {bigint} DEFAULT 0 NOT NULL;

ALTER TABLE account ADD COLUMN whatsapp_stops {bigint} DEFAULT 0 NOT NULL;

-- Room on each page for a changed stop_mask: an update that stays on its page leaves the indexes alone.
-- only postgresql
ALTER TABLE contact SET (fillfactor = 90);

-- only postgresql
ALTER TABLE contact ALTER COLUMN account_id SET STATISTICS 0;

-- only postgresql
ALTER TABLE membership ALTER COLUMN account_id SET STATISTICS 0;

-- only postgresql
ALTER TABLE stop_list ALTER COLUMN account_id SET STATISTICS 0;

-- only postgresql
ALTER TABLE contact_field ALTER COLUMN account_id SET STATISTICS 0;

-- only postgresql
ALTER TABLE field_value ALTER COLUMN account_id SET STATISTICS 0;

-- only postgresql
ALTER TABLE leftover ALTER COLUMN account_id SET STATISTICS 0;

-- only postgresql
ALTER TABLE verification ALTER COLUMN account_id SET STATISTICS 0;

-- SQLite without statistics takes an account to have ten rows in any table. These say what matters: that an
-- account is most of each table, and how many rows the next columns of a key leave. The numbers are of no real
-- database and nothing changes them (docs/decisions/0018).
-- only sqlite
ANALYZE sqlite_schema;

-- only sqlite
INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES
    ('contact', 'contact', '1000000 1000000 1'),
    ('contact', 'contact_phone', '1000000 1000000 1'),
    ('membership', 'membership', '5000000 5000000 50000 1'),
    ('membership', 'membership_of_contact', '5000000 5000000 5 1'),
    ('stop_list', 'stop_list', '100000 100000 1'),
    ('stop_list', 'stop_list_id', '100000 100000 1'),
    ('field_value', 'field_value', '5000000 5000000 5 1'),
    ('field_value', 'field_value_search', '5000000 5000000 1000000 20 1'),
    ('contact_list', 'contact_list', '1000 1000 1'),
    ('contact_list', 'contact_list_name', '1000 1000 1');
