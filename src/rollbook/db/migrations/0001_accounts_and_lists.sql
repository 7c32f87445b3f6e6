-- Moments are whole seconds since 1970, UTC. Every table of an account's data starts with account_id,
-- which is first in every key, so that the same schema can be distributed by account.

-- Ids are handed out in blocks, never twice. Belongs to no account.
CREATE TABLE id_block (
    kind {text} PRIMARY KEY,
    next_id {bigint} NOT NULL
);

-- What the service needs to keep to itself, such as the key that signs tokens. Belongs to no account.
CREATE TABLE service_secret (
    name {text} PRIMARY KEY,
    value {text} NOT NULL
);

-- An account, or the sandbox of one: a sandbox is an account whose data is apart.
CREATE TABLE account (
    account_id {bigint} NOT NULL,
    name {text} NOT NULL,
    sandbox_of {bigint},
    created_at {bigint} NOT NULL,
    PRIMARY KEY (account_id)
) {hot};

CREATE INDEX account_name ON account (name);

CREATE TABLE api_key (
    account_id {bigint} NOT NULL,
    id {bigint} NOT NULL,
    key_hash {text} NOT NULL,
    hint {text} NOT NULL,
    label {text} NOT NULL,
    rights {text} NOT NULL,
    created_at {bigint} NOT NULL,
    revoked_at {bigint},
    PRIMARY KEY (account_id, id)
) {hot};

CREATE UNIQUE INDEX api_key_hash ON api_key (account_id, key_hash);

-- Who presents a key is not known before it is found, so this index cannot begin with the account.
CREATE INDEX api_key_login ON api_key (key_hash);

CREATE TABLE contact_list (
    account_id {bigint} NOT NULL,
    id {bigint} NOT NULL,
    name {text} NOT NULL,
    name_folded {text} NOT NULL,
    description {text},
    description_folded {text} NOT NULL,
    is_default {boolean} NOT NULL,
    created_at {bigint} NOT NULL,
    items {bigint} NOT NULL,
    stop_list_count {bigint} NOT NULL,
    PRIMARY KEY (account_id, id)
) {hot};

CREATE UNIQUE INDEX contact_list_name ON contact_list (account_id, name);

CREATE UNIQUE INDEX contact_list_default ON contact_list (account_id) WHERE is_default;

-- The first answer to a request that came with an Idempotency-Key.
CREATE TABLE idempotent_answer (
    account_id {bigint} NOT NULL,
    idempotency_key {text} NOT NULL,
    fingerprint {text} NOT NULL,
    status {bigint} NOT NULL,
    body {text} NOT NULL,
    created_at {bigint} NOT NULL,
    PRIMARY KEY (account_id, idempotency_key)
) {hot};

CREATE INDEX idempotent_answer_age ON idempotent_answer (account_id, created_at);

-- Without statistics on account_id an account that they do not know is not taken to have one row.
-- only postgresql
ALTER TABLE account ALTER COLUMN account_id SET STATISTICS 0;

-- only postgresql
ALTER TABLE api_key ALTER COLUMN account_id SET STATISTICS 0;

-- only postgresql
ALTER TABLE contact_list ALTER COLUMN account_id SET STATISTICS 0;

-- only postgresql
ALTER TABLE idempotent_answer ALTER COLUMN account_id SET STATISTICS 0;
