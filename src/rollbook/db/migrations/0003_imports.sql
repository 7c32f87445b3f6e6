-- Files that are read into the book, and how far each of them is (rollbook/imports).

-- spec is what was asked for and never changes; report is what became of it so far; both are JSON. The rows of
-- the file are staged beside the database, in a folder of the spool; reached counts those that are in the book.
CREATE TABLE import_job (
    account_id {bigint} NOT NULL,
    id {bigint} NOT NULL,
    source {text} NOT NULL,
    spec {text} NOT NULL,
    state {text} NOT NULL,
    cancel_wanted {boolean} NOT NULL,
    list_id {bigint},
    size_bytes {bigint} NOT NULL,
    bytes_done {bigint} NOT NULL,
    rows_read {bigint} NOT NULL,
    rows_staged {bigint} NOT NULL,
    reached {bigint} NOT NULL,
    report {text} NOT NULL,
    error {text},
    created_at {bigint} NOT NULL,
    phase_started_at {bigint} NOT NULL,
    finished_at {bigint},
    PRIMARY KEY (account_id, id)
) {hot};

-- Who looks for work asks for no account.
CREATE INDEX import_job_unfinished ON import_job (state) WHERE finished_at IS NULL;

-- What one transaction of an import did, for undo: contacts created have the ids from first_id on, in the order
-- of their phones; joined and removed are ids of contacts that were there before (rollbook/imports/journal.py).
CREATE TABLE import_chunk (
    account_id {bigint} NOT NULL,
    import_id {bigint} NOT NULL,
    place {bigint} NOT NULL,
    rows_staged {bigint} NOT NULL,
    first_id {bigint} NOT NULL,
    contacts {bigint} NOT NULL,
    joined {text} NOT NULL,
    removed {text} NOT NULL,
    refused {text} NOT NULL,
    PRIMARY KEY (account_id, import_id, place)
) {hot};

-- only postgresql
ALTER TABLE import_job ALTER COLUMN account_id SET STATISTICS 0;

-- only postgresql
ALTER TABLE import_chunk ALTER COLUMN account_id SET STATISTICS 0;
