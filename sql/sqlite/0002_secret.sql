-- SPDX-License-Identifier: Apache-2.0
-- Secrets: their versions as sealed envelopes, what they are bound to, and the chain of uses.
CREATE TABLE secret(
    id TEXT PRIMARY KEY CHECK(length(id) = 36),
    tenant TEXT NOT NULL CHECK(tenant <> ''),
    name TEXT NOT NULL CHECK(name <> ''),
    description TEXT NOT NULL,
    state TEXT NOT NULL CHECK(state IN ('active', 'disabled', 'deleted')),
    current INTEGER NOT NULL CHECK(current >= 1),
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL
) STRICT;

-- A deleted one leaves its row, so that those who still name it learn why; its name is free.
CREATE UNIQUE INDEX secret_name ON secret(tenant, name) WHERE state <> 'deleted';

-- The envelope holds the wrapped data key and the sealed value. Destroyed: it is gone.
CREATE TABLE secret_version(
    secret TEXT NOT NULL REFERENCES secret(id),
    version INTEGER NOT NULL CHECK(version >= 1),
    state TEXT NOT NULL CHECK(state IN ('active', 'disabled', 'destroyed')),
    key TEXT NOT NULL,
    envelope BLOB NOT NULL,
    created_by TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    PRIMARY KEY(secret, version),
    CHECK((state = 'destroyed') = (length(envelope) = 0)),
    CHECK((state = 'destroyed') = (key = ''))
) STRICT, WITHOUT ROWID;

CREATE INDEX secret_version_key ON secret_version(key) WHERE key <> '';

-- A reference resolves only where an administrator put it.
CREATE TABLE secret_binding(
    tenant TEXT NOT NULL CHECK(tenant <> ''),
    environment TEXT NOT NULL CHECK(environment <> ''),
    option TEXT NOT NULL CHECK(option <> ''),
    name TEXT NOT NULL CHECK(name <> ''),
    created_by TEXT NOT NULL,
    created_ns INTEGER NOT NULL,
    PRIMARY KEY(tenant, environment, option, name)
) STRICT, WITHOUT ROWID;

-- Written before a value leaves core; each row's hash covers the row and the hash before it.
CREATE TABLE secret_audit(
    sequence INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    secret TEXT NOT NULL,
    version INTEGER NOT NULL,
    environment TEXT NOT NULL,
    option TEXT NOT NULL,
    lease TEXT NOT NULL,
    actor TEXT NOT NULL,
    purpose TEXT NOT NULL,
    outcome TEXT NOT NULL,
    hash TEXT NOT NULL CHECK(length(hash) = 64)
) STRICT;

-- The newest row, so that one cut off at the end is missed too.
CREATE TABLE secret_audit_head(
    one INTEGER PRIMARY KEY CHECK(one = 1),
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
INSERT INTO secret_audit_head(one, sequence, hash) VALUES(1, 0, '');

CREATE TRIGGER secret_update BEFORE UPDATE ON secret
BEGIN
    SELECT CASE
    WHEN OLD.state = 'deleted' THEN
        RAISE(ABORT, 'secret_guard: a deleted secret never changes')
    WHEN NEW.id <> OLD.id OR NEW.tenant <> OLD.tenant OR NEW.name <> OLD.name
        OR NEW.current < OLD.current THEN
        RAISE(ABORT, 'secret_guard: id, tenant and name never change, versions only rise')
    END;
END;

CREATE TRIGGER secret_delete BEFORE DELETE ON secret
BEGIN
    SELECT RAISE(ABORT, 'secret_guard: the row of a secret stays');
END;

CREATE TRIGGER secret_version_update BEFORE UPDATE ON secret_version
    WHEN OLD.state = 'destroyed' OR NEW.secret <> OLD.secret OR NEW.version <> OLD.version
BEGIN
    SELECT RAISE(ABORT, 'secret_guard: a version keeps its place, and what is destroyed stays so');
END;

CREATE TRIGGER secret_audit_update BEFORE UPDATE ON secret_audit
BEGIN
    SELECT RAISE(ABORT, 'audit_guard: the chain of uses is never rewritten');
END;

CREATE TRIGGER secret_audit_delete BEFORE DELETE ON secret_audit
BEGIN
    SELECT RAISE(ABORT, 'audit_guard: the chain of uses is never cut');
END;
