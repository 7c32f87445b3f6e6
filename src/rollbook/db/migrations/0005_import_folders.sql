-- The folder of the spool with the files of an import, and which spool that is. Names are random: ids are given again
-- after a restore, and the files of another import would be shown or used.
ALTER TABLE import_job ADD COLUMN folder {text};

ALTER TABLE import_job ADD COLUMN spool {text};

UPDATE import_job SET folder = CAST(account_id AS TEXT) || '-' || CAST(id AS TEXT);

CREATE INDEX import_job_folder ON import_job (folder);
