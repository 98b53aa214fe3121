-- SPDX-License-Identifier: Apache-2.0
-- Secrets: their versions as sealed envelopes, what they are bound to, and the chain of uses.
CREATE TABLE billet.secret(
    id text COLLATE "C" PRIMARY KEY CHECK(length(id) = 36),
    tenant text COLLATE "C" NOT NULL CHECK(tenant <> ''),
    name text COLLATE "C" NOT NULL CHECK(name <> ''),
    description text NOT NULL,
    state text NOT NULL CHECK(state IN ('active', 'disabled', 'deleted')),
    "current" bigint NOT NULL CHECK("current" >= 1),
    created_ns bigint NOT NULL,
    updated_ns bigint NOT NULL
);

-- A deleted one leaves its row, so that those who still name it learn why; its name is free.
CREATE UNIQUE INDEX secret_name ON billet.secret(tenant, name) WHERE state <> 'deleted';

-- The envelope holds the wrapped data key and the sealed value. Destroyed: it is gone.
CREATE TABLE billet.secret_version(
    secret text COLLATE "C" NOT NULL REFERENCES billet.secret(id),
    version bigint NOT NULL CHECK(version >= 1),
    state text NOT NULL CHECK(state IN ('active', 'disabled', 'destroyed')),
    key text COLLATE "C" NOT NULL,
    envelope bytea NOT NULL,
    created_by text NOT NULL,
    created_ns bigint NOT NULL,
    PRIMARY KEY(secret, version),
    CHECK((state = 'destroyed') = (length(envelope) = 0)),
    CHECK((state = 'destroyed') = (key = ''))
);

CREATE INDEX secret_version_key ON billet.secret_version(key) WHERE key <> '';

-- A reference resolves only where an administrator put it.
CREATE TABLE billet.secret_binding(
    tenant text COLLATE "C" NOT NULL CHECK(tenant <> ''),
    environment text COLLATE "C" NOT NULL CHECK(environment <> ''),
    option text COLLATE "C" NOT NULL CHECK(option <> ''),
    name text COLLATE "C" NOT NULL CHECK(name <> ''),
    created_by text NOT NULL,
    created_ns bigint NOT NULL,
    PRIMARY KEY(tenant, environment, option, name)
);

-- Written before a value leaves core; each row's hash covers the row and the hash before it. The
-- sequence is part of the chain: whoever adds to it takes the next one under a lock of the head.
CREATE TABLE billet.secret_audit(
    sequence bigint PRIMARY KEY,
    time_ns bigint NOT NULL,
    tenant text NOT NULL,
    name text NOT NULL,
    secret text NOT NULL,
    version bigint NOT NULL,
    environment text NOT NULL,
    option text NOT NULL,
    lease text NOT NULL,
    actor text NOT NULL,
    purpose text NOT NULL,
    outcome text NOT NULL,
    hash text NOT NULL CHECK(length(hash) = 64)
);

-- The newest row, so that one cut off at the end is missed too.
CREATE TABLE billet.secret_audit_head(
    one integer PRIMARY KEY CHECK(one = 1),
    sequence bigint NOT NULL,
    hash text NOT NULL
);
INSERT INTO billet.secret_audit_head(one, sequence, hash) VALUES(1, 0, '');

CREATE FUNCTION billet.secret_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'deleted' THEN
        RAISE EXCEPTION 'secret_guard: a deleted secret never changes';
    ELSIF NEW.id <> OLD.id OR NEW.tenant <> OLD.tenant OR NEW.name <> OLD.name
        OR NEW."current" < OLD."current" THEN
        RAISE EXCEPTION 'secret_guard: id, tenant and name never change, versions only rise';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER secret_update BEFORE UPDATE ON billet.secret
    FOR EACH ROW EXECUTE FUNCTION billet.secret_update();

CREATE FUNCTION billet.secret_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'secret_guard: the row of a secret stays';
END
$$;
CREATE TRIGGER secret_delete BEFORE DELETE ON billet.secret
    FOR EACH ROW EXECUTE FUNCTION billet.secret_delete();

CREATE FUNCTION billet.secret_version_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'destroyed' OR NEW.secret <> OLD.secret OR NEW.version <> OLD.version THEN
        RAISE EXCEPTION
            'secret_guard: a version keeps its place, and what is destroyed stays so';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER secret_version_update BEFORE UPDATE ON billet.secret_version
    FOR EACH ROW EXECUTE FUNCTION billet.secret_version_update();

CREATE FUNCTION billet.secret_audit_update() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit_guard: the chain of uses is never rewritten';
END
$$;
CREATE TRIGGER secret_audit_update BEFORE UPDATE OR DELETE ON billet.secret_audit
    FOR EACH ROW EXECUTE FUNCTION billet.secret_audit_update();

ALTER TABLE billet.secret ENABLE ROW LEVEL SECURITY;
CREATE POLICY secret_tenant ON billet.secret
    USING ((SELECT billet.bound_tenant()) IS NULL OR tenant = (SELECT billet.bound_tenant()));
ALTER TABLE billet.secret_version ENABLE ROW LEVEL SECURITY;
CREATE POLICY secret_version_tenant ON billet.secret_version
    USING (EXISTS (SELECT 1 FROM billet.secret AS s WHERE s.id = secret_version.secret));
ALTER TABLE billet.secret_binding ENABLE ROW LEVEL SECURITY;
CREATE POLICY secret_binding_tenant ON billet.secret_binding
    USING ((SELECT billet.bound_tenant()) IS NULL OR tenant = (SELECT billet.bound_tenant()));
ALTER TABLE billet.secret_audit ENABLE ROW LEVEL SECURITY;
CREATE POLICY secret_audit_tenant ON billet.secret_audit
    USING ((SELECT billet.bound_tenant()) IS NULL OR tenant = (SELECT billet.bound_tenant()));
