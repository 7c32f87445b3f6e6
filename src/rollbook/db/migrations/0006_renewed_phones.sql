-- Which version of the table of changed numbering plans (rollbook/phones/changes.py) the phones of an account were
-- brought to. What was stored before is at 0.
ALTER TABLE account ADD COLUMN plans_version {bigint} NOT NULL DEFAULT 0;
