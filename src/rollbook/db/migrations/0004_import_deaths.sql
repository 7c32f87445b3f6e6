-- How often a worker died over an import since its last step forward, and where that was (rollbook/imports/jobs.py):
-- the state, and how far it was.
ALTER TABLE import_job ADD COLUMN deaths {bigint} NOT NULL DEFAULT 0;

ALTER TABLE import_job ADD COLUMN died_where {text};
