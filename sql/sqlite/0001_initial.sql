-- SPDX-License-Identifier: Apache-2.0
-- The first schema. Times are wall nanoseconds of this machine; "" stands for "none".
PRAGMA application_id = 1112099924;

CREATE TABLE migration(
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_ns INTEGER NOT NULL,
    checksum TEXT NOT NULL
) STRICT;

CREATE TABLE deployment(
    one INTEGER PRIMARY KEY CHECK(one = 1),
    uuid TEXT NOT NULL,
    created_ns INTEGER NOT NULL
) STRICT;

CREATE TABLE meta(
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL CHECK(length(CAST(value AS BLOB)) <= 4096)
) STRICT, WITHOUT ROWID;

CREATE TABLE provision(
    key TEXT PRIMARY KEY,
    time_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE environment(
    id TEXT PRIMARY KEY CHECK(length(id) = 36),
    tenant TEXT NOT NULL,
    name TEXT NOT NULL CHECK(name <> ''),
    driver TEXT NOT NULL CHECK(driver <> ''),
    description TEXT NOT NULL,
    status TEXT NOT NULL CHECK(status IN ('active', 'archived', 'drained')),
    reason TEXT NOT NULL,
    revision INTEGER NOT NULL CHECK(revision >= 1),
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    settings TEXT NOT NULL,
    UNIQUE(tenant, name)
) STRICT;

CREATE TABLE lease(
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE CHECK(length(id) = 36),
    tenant TEXT NOT NULL CHECK(tenant <> ''),
    environment TEXT NOT NULL CHECK(environment <> ''),
    environment_id TEXT NOT NULL,
    driver TEXT NOT NULL,
    run TEXT NOT NULL,
    agent TEXT NOT NULL,
    issue TEXT NOT NULL,
    workspace TEXT NOT NULL,
    policy TEXT NOT NULL,
    state TEXT NOT NULL CHECK(state IN
        ('acquiring', 'active', 'retained', 'releasing', 'released', 'failed')),
    fence INTEGER NOT NULL CHECK(fence >= 1),
    generation INTEGER NOT NULL CHECK(generation >= 1),
    ref TEXT NOT NULL,
    facts TEXT NOT NULL,
    configuration TEXT NOT NULL,
    directory TEXT NOT NULL,
    owner TEXT NOT NULL,
    command TEXT NOT NULL,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    cleanup_attempts INTEGER NOT NULL CHECK(cleanup_attempts >= 0),
    next_cleanup_ns INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,
    ended_ns INTEGER NOT NULL,
    CHECK(state NOT IN ('active', 'retained') OR ref <> ''),
    CHECK((state IN ('released', 'failed')) = (ended_ns <> 0))
) STRICT;

CREATE INDEX lease_live ON lease(tenant, environment)
    WHERE state NOT IN ('released', 'failed');

-- A run drives one lease in an environment at a time. A lease that is only being cleaned up does
-- not keep its run from being tried again.
CREATE UNIQUE INDEX lease_one_per_run ON lease(run, tenant, environment)
    WHERE run <> '' AND state IN ('acquiring', 'active');

CREATE TABLE activity(
    sequence INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    action TEXT NOT NULL CHECK(action <> ''),
    tenant TEXT NOT NULL,
    environment TEXT NOT NULL,
    lease TEXT NOT NULL,
    run TEXT NOT NULL,
    agent TEXT NOT NULL,
    issue TEXT NOT NULL,
    actor TEXT NOT NULL,
    fence INTEGER NOT NULL CHECK(fence >= 0),
    details TEXT NOT NULL
) STRICT;

CREATE INDEX activity_of_lease ON activity(lease) WHERE lease <> '';

-- What can happen once per owner of a lease; an end, once at all (the trigger makes it final).
CREATE UNIQUE INDEX activity_once ON activity(lease, action, fence)
    WHERE action IN ('lease.requested', 'lease.acquired', 'lease.released', 'lease.failed');

CREATE TRIGGER lease_insert BEFORE INSERT ON lease
BEGIN
    SELECT CASE
    WHEN NEW.state <> 'acquiring' OR NEW.fence <> 1 OR NEW.generation <> 1 THEN
        RAISE(ABORT, 'lease_guard: a lease begins as acquiring with fence 1')
    WHEN NEW.environment_id <> '' AND NOT EXISTS (SELECT 1 FROM environment
        WHERE id = NEW.environment_id AND tenant IN (NEW.tenant, '')) THEN
        RAISE(ABORT, 'environment_not_found: the environment was removed meanwhile')
    WHEN NEW.environment_id <> '' AND EXISTS (SELECT 1 FROM environment
        WHERE id = NEW.environment_id AND status <> 'active') THEN
        RAISE(ABORT, 'environment_inactive: the environment was archived or drained meanwhile')
    END;
END;

CREATE TRIGGER lease_update BEFORE UPDATE ON lease
BEGIN
    SELECT CASE
    WHEN OLD.state IN ('released', 'failed') THEN
        RAISE(ABORT, 'lease_final: the lease has ended')
    WHEN NEW.fence < OLD.fence OR NEW.generation < OLD.generation THEN
        RAISE(ABORT, 'lease_guard: fence and generation never go back')
    WHEN NEW.id <> OLD.id OR NEW.tenant <> OLD.tenant OR NEW.created_ns <> OLD.created_ns
        OR NEW.number <> OLD.number THEN
        RAISE(ABORT, 'lease_guard: id, tenant and creation of a lease never change')
    WHEN NEW.state <> OLD.state AND OLD.state || '>' || NEW.state NOT IN (
        'acquiring>active', 'acquiring>releasing', 'active>retained', 'active>releasing',
        'retained>active', 'retained>releasing', 'releasing>released', 'releasing>failed') THEN
        RAISE(ABORT, 'lease_guard: no such change of state')
    END;
END;

CREATE TRIGGER lease_delete BEFORE DELETE ON lease
    WHEN OLD.state NOT IN ('released', 'failed')
BEGIN
    SELECT RAISE(ABORT, 'lease_guard: a live lease cannot be deleted');
END;

CREATE TRIGGER activity_update BEFORE UPDATE ON activity
BEGIN
    SELECT RAISE(ABORT, 'activity_guard: what happened is never rewritten');
END;

CREATE TRIGGER environment_update BEFORE UPDATE ON environment
    WHEN NEW.id <> OLD.id OR NEW.tenant <> OLD.tenant OR NEW.revision <= OLD.revision
BEGIN
    SELECT RAISE(ABORT, 'environment_guard: id and tenant never change, revision rises');
END;

CREATE TRIGGER environment_delete BEFORE DELETE ON environment
    WHEN EXISTS (SELECT 1 FROM lease WHERE tenant = OLD.tenant AND environment = OLD.name
        AND state NOT IN ('released', 'failed'))
BEGIN
    SELECT RAISE(ABORT, 'environment_in_use: live leases name the environment');
END;
