-- The first schema. The text is a template: .Text, .Blob and .Serial and the
-- few parts under "if .Postgres" are all that differs between the engines.
-- Ids are UUIDv7 texts, times microseconds since 1970 in UTC, JSON is text.

-- Facts about the database as a whole: 'feed_epoch', 'oldest_release'.
CREATE TABLE meta (
    name  {{.Text}} NOT NULL PRIMARY KEY,
    value {{.Text}} NOT NULL
);

-- Root keys that this database was ever opened with: tells a wrong
-- ROOT_ENCRYPTION_KEY from a right one.
CREATE TABLE root_keys (
    id          {{.Text}} NOT NULL PRIMARY KEY,
    check_value {{.Blob}} NOT NULL,
    created_at  BIGINT NOT NULL
);

-- Every other key, random, wrapped by a root key. scope is a project id, or ''.
CREATE TABLE keys (
    purpose    {{.Text}} NOT NULL,
    scope      {{.Text}} NOT NULL,
    version    BIGINT NOT NULL,
    root_id    {{.Text}} NOT NULL,
    wrapped    {{.Blob}} NOT NULL,
    seals      BIGINT NOT NULL DEFAULT 0, -- encryptions granted to replicas, in blocks
    created_at BIGINT NOT NULL,
    PRIMARY KEY (purpose, scope, version)
);

CREATE TABLE organizations (
    id         {{.Text}} NOT NULL PRIMARY KEY,
    name       {{.Text}} NOT NULL,
    slug       {{.Text}} NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

-- People.
CREATE TABLE users (
    id            {{.Text}} NOT NULL PRIMARY KEY,
    email         {{.Text}} NOT NULL UNIQUE, -- lower case
    first_name    {{.Text}} NOT NULL,
    last_name     {{.Text}} NOT NULL,
    password_hash {{.Text}} NOT NULL,        -- argon2id; '' until a password is set
    password_set_at BIGINT NOT NULL,         -- sessions that began before it have ended
    super_admin   BOOLEAN NOT NULL,
    created_at    BIGINT NOT NULL,
    updated_at    BIGINT NOT NULL
);

-- One-time links by which a person sets a password.
CREATE TABLE password_links (
    lookup     {{.Blob}} NOT NULL PRIMARY KEY, -- keyed hash of the link's token
    user_id    {{.Text}} NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    expires_at BIGINT NOT NULL
);

-- Machine identities.
CREATE TABLE identities (
    id                {{.Text}} NOT NULL PRIMARY KEY,
    organization_id   {{.Text}} NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name              {{.Text}} NOT NULL,
    delete_protection BOOLEAN NOT NULL,
    instance_admin    BOOLEAN NOT NULL,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL
);
CREATE INDEX identities_organization ON identities (organization_id, name);

CREATE TABLE organization_memberships (
    organization_id {{.Text}} NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    actor_type      {{.Text}} NOT NULL, -- 'identity' or 'user'
    actor_id        {{.Text}} NOT NULL,
    role            {{.Text}} NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    PRIMARY KEY (organization_id, actor_type, actor_id)
);
CREATE INDEX organization_memberships_actor ON organization_memberships (actor_type, actor_id);

-- Universal Auth of an identity. Times to live are seconds.
CREATE TABLE universal_auths (
    identity_id            {{.Text}} NOT NULL PRIMARY KEY REFERENCES identities (id) ON DELETE CASCADE,
    id                     {{.Text}} NOT NULL UNIQUE,
    client_id              {{.Text}} NOT NULL UNIQUE,
    token_ttl              BIGINT NOT NULL,
    token_max_ttl          BIGINT NOT NULL,
    token_period           BIGINT NOT NULL,
    token_uses_limit       BIGINT NOT NULL,
    secret_trusted_ips     {{.Text}} NOT NULL, -- JSON list of networks
    token_trusted_ips      {{.Text}} NOT NULL,
    lockout_enabled        BOOLEAN NOT NULL,
    lockout_threshold      BIGINT NOT NULL,
    lockout_duration       BIGINT NOT NULL,
    lockout_counter_reset  BIGINT NOT NULL,
    created_at             BIGINT NOT NULL,
    updated_at             BIGINT NOT NULL
);

CREATE TABLE client_secrets (
    id           {{.Text}} NOT NULL PRIMARY KEY,
    identity_id  {{.Text}} NOT NULL REFERENCES universal_auths (identity_id) ON DELETE CASCADE,
    lookup       {{.Blob}} NOT NULL UNIQUE, -- keyed hash of the secret
    prefix       {{.Text}} NOT NULL,
    description  {{.Text}} NOT NULL,
    uses         BIGINT NOT NULL,
    uses_limit   BIGINT NOT NULL,           -- 0: none
    ttl          BIGINT NOT NULL,           -- seconds, 0: none
    expires_at   BIGINT NOT NULL,           -- 0: never
    revoked      BOOLEAN NOT NULL,
    last_used_at BIGINT NOT NULL,           -- 0: never
    created_at   BIGINT NOT NULL,
    updated_at   BIGINT NOT NULL
);
CREATE INDEX client_secrets_identity ON client_secrets (identity_id, created_at);

-- Opaque tokens, which need not expire: the bootstrap token.
CREATE TABLE opaque_tokens (
    id          {{.Text}} NOT NULL PRIMARY KEY,
    identity_id {{.Text}} NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    lookup      {{.Blob}} NOT NULL UNIQUE,
    prefix      {{.Text}} NOT NULL,
    expires_at  BIGINT NOT NULL, -- 0: never
    created_at  BIGINT NOT NULL
);
CREATE INDEX opaque_tokens_identity ON opaque_tokens (identity_id);

-- Tokens that were revoked before their time, until it comes.
CREATE TABLE revoked_tokens (
    token_id   {{.Text}} NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX revoked_tokens_expiry ON revoked_tokens (expires_at);

-- Uses of tokens that have a limit, until they expire.
CREATE TABLE token_uses (
    token_id   {{.Text}} NOT NULL PRIMARY KEY,
    uses       BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX token_uses_expiry ON token_uses (expires_at);

CREATE TABLE projects (
    id                {{.Text}} NOT NULL PRIMARY KEY,
    organization_id   {{.Text}} NOT NULL REFERENCES organizations (id) ON DELETE CASCADE,
    name              {{.Text}} NOT NULL,
    slug              {{.Text}} NOT NULL,
    description       {{.Text}} NOT NULL,
    delete_protection BOOLEAN NOT NULL,
    created_at        BIGINT NOT NULL,
    updated_at        BIGINT NOT NULL,
    UNIQUE (organization_id, slug)
);

CREATE TABLE project_memberships (
    id         {{.Text}} NOT NULL PRIMARY KEY,
    project_id {{.Text}} NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    actor_type {{.Text}} NOT NULL,
    actor_id   {{.Text}} NOT NULL,
    roles      {{.Text}} NOT NULL, -- JSON list of {role, expiresAt}
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (project_id, actor_type, actor_id)
);
CREATE INDEX project_memberships_actor ON project_memberships (actor_type, actor_id);

-- Custom roles.
CREATE TABLE roles (
    id          {{.Text}} NOT NULL PRIMARY KEY,
    project_id  {{.Text}} NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    slug        {{.Text}} NOT NULL,
    name        {{.Text}} NOT NULL,
    description {{.Text}} NOT NULL,
    rules       {{.Text}} NOT NULL, -- JSON
    created_at  BIGINT NOT NULL,
    updated_at  BIGINT NOT NULL,
    UNIQUE (project_id, slug)
);

CREATE TABLE tags (
    id         {{.Text}} NOT NULL PRIMARY KEY,
    project_id {{.Text}} NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    slug       {{.Text}} NOT NULL,
    color      {{.Text}} NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (project_id, slug)
);

CREATE TABLE environments (
    id         {{.Text}} NOT NULL PRIMARY KEY,
    project_id {{.Text}} NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name       {{.Text}} NOT NULL,
    slug       {{.Text}} NOT NULL, -- the canonical one
    position   BIGINT NOT NULL,
    restricted BOOLEAN NOT NULL,
    revision   BIGINT NOT NULL,    -- increased by every change inside
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE INDEX environments_project ON environments (project_id, position);

-- Every slug that names an environment: the canonical one and its aliases
-- ('prod' and 'production' name the same one).
CREATE TABLE environment_slugs (
    project_id     {{.Text}} NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    slug           {{.Text}} NOT NULL,
    environment_id {{.Text}} NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    PRIMARY KEY (project_id, slug)
);
CREATE INDEX environment_slugs_environment ON environment_slugs (environment_id);

CREATE TABLE folders (
    id             {{.Text}} NOT NULL PRIMARY KEY,
    environment_id {{.Text}} NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    parent_id      {{.Text}} NOT NULL, -- '' for the root
    name           {{.Text}} NOT NULL, -- '' for the root
    description    {{.Text}} NOT NULL,
    version        BIGINT NOT NULL,    -- increased by every change of its secrets
    created_at     BIGINT NOT NULL,
    updated_at     BIGINT NOT NULL,
    UNIQUE (environment_id, parent_id, name)
);

-- The head of each secret: which version is the current one, with a MAC over
-- that fact. A deleted secret keeps its row and its history.
CREATE TABLE secrets (
    id                      {{.Text}} NOT NULL PRIMARY KEY,
    folder_id               {{.Text}} NOT NULL REFERENCES folders (id) ON DELETE CASCADE,
    key                     {{.Text}} NOT NULL,
    version                 BIGINT NOT NULL,
    version_id              {{.Text}} NOT NULL,
    head_mac                {{.Blob}} NOT NULL,
    created_at              BIGINT NOT NULL,
    updated_at              BIGINT NOT NULL,
    deleted_at              BIGINT NOT NULL -- 0: it is there
);
CREATE INDEX secrets_folder ON secrets (folder_id);
CREATE UNIQUE INDEX secrets_key ON secrets (folder_id, key) WHERE deleted_at = 0;

-- Every version of every secret, sealed under the project's data key.
CREATE TABLE secret_versions (
    id              {{.Text}} NOT NULL PRIMARY KEY,
    secret_id       {{.Text}} NOT NULL REFERENCES secrets (id) ON DELETE CASCADE,
    version         BIGINT NOT NULL,
    key             {{.Text}} NOT NULL, -- the secret's key at that time
    value           {{.Blob}} NOT NULL,
    comment         {{.Blob}},          -- NULL: none
    metadata        {{.Blob}},          -- NULL: none; sealed JSON
    refs            {{.Text}} NOT NULL, -- JSON list of the references in the value
    tags            {{.Text}} NOT NULL, -- JSON list of tag ids
    skip_multiline  BOOLEAN NOT NULL,
    reminder_note   {{.Text}} NOT NULL,
    reminder_days   BIGINT NOT NULL,    -- 0: none
    actor_type      {{.Text}} NOT NULL,
    actor_id        {{.Text}} NOT NULL,
    actor_name      {{.Text}} NOT NULL,
    created_at      BIGINT NOT NULL,
    UNIQUE (secret_id, version)
);

-- The change feed: which entity changed. Caches are thrown away by it, watchers
-- woken. A reader's cursor is a transaction id: see feed.go.
CREATE TABLE feed (
    position       {{.Serial}},
    xid            {{if .Postgres}}xid8 NOT NULL DEFAULT pg_current_xact_id(){{else}}INTEGER NOT NULL DEFAULT 0{{end}},
    kind           {{.Text}} NOT NULL,
    entity_id      {{.Text}} NOT NULL,
    environment_id {{.Text}} NOT NULL,
    revision       BIGINT NOT NULL,
    created_at     BIGINT NOT NULL
);
{{if .Postgres}}CREATE INDEX feed_xid ON feed (xid, position);
{{end}}CREATE INDEX feed_created ON feed (created_at);

-- The audit trail, one partition a day.
CREATE TABLE audit_log (
    id             {{.Text}} NOT NULL,
    created_at     BIGINT NOT NULL,
    run            {{.Text}} NOT NULL,  -- the batch that wrote the row
    batch          BIGINT NOT NULL,
    ordinal        BIGINT NOT NULL,
    organization_id {{.Text}} NOT NULL,
    project_id     {{.Text}} NOT NULL,
    project_slug   {{.Text}} NOT NULL,
    environment    {{.Text}} NOT NULL,  -- slug
    path           {{.Text}} NOT NULL,
    secret_key     {{.Text}} NOT NULL,  -- where it is about one secret
    secret_version BIGINT NOT NULL,
    manifest       {{.Blob}},           -- where it is about several
    action         {{.Text}} NOT NULL,
    event          {{.Text}} NOT NULL,
    outcome        {{.Text}} NOT NULL,
    reason         {{.Text}} NOT NULL,
    repeats        BIGINT NOT NULL,     -- how many alike this row stands for
    actor_type     {{.Text}} NOT NULL,
    actor_id       {{.Text}} NOT NULL,
    actor_name     {{.Text}} NOT NULL,
    ip             {{.Text}} NOT NULL,
    user_agent     {{.Text}} NOT NULL,
    request_id     {{.Text}} NOT NULL,
    metadata       {{.Text}} NOT NULL,  -- JSON object of texts
    mac            {{.Blob}} NOT NULL,
    PRIMARY KEY (created_at, id)
){{if .Postgres}} PARTITION BY RANGE (created_at){{end}};
CREATE INDEX audit_log_project ON audit_log (project_id, created_at, id);
CREATE INDEX audit_log_actor ON audit_log (actor_id, created_at, id);

-- What a read disclosed, once a day for the same list.
CREATE TABLE audit_manifests (
    day            BIGINT NOT NULL, -- its first microsecond
    hash           {{.Blob}} NOT NULL,
    ordinal        BIGINT NOT NULL,
    environment    {{.Text}} NOT NULL,
    path           {{.Text}} NOT NULL,
    secret_key     {{.Text}} NOT NULL,
    secret_version BIGINT NOT NULL,
    PRIMARY KEY (day, hash, ordinal)
){{if .Postgres}} PARTITION BY RANGE (day){{end}};
{{if .Postgres}}
CREATE TABLE audit_log_rest PARTITION OF audit_log DEFAULT;
CREATE TABLE audit_manifests_rest PARTITION OF audit_manifests DEFAULT;
{{end}}
-- One row for every batch of audit rows; the MAC covers the MACs of its rows.
CREATE TABLE audit_batches (
    run        {{.Text}} NOT NULL,
    number     BIGINT NOT NULL,
    count      BIGINT NOT NULL,
    mac        {{.Blob}} NOT NULL,
    created_at BIGINT NOT NULL,
    position   {{if .Postgres}}BIGINT NOT NULL GENERATED ALWAYS AS IDENTITY{{else}}INTEGER PRIMARY KEY AUTOINCREMENT{{end}},
    xid        {{if .Postgres}}xid8 NOT NULL DEFAULT pg_current_xact_id(){{else}}INTEGER NOT NULL DEFAULT 0{{end}},
    {{if .Postgres}}PRIMARY KEY{{else}}UNIQUE{{end}} (run, number)
);
{{if .Postgres}}CREATE INDEX audit_batches_xid ON audit_batches (xid, position);
{{end}}CREATE INDEX audit_batches_created ON audit_batches (created_at);

-- The hash chain over the batches. Rows are only ever added, and removed from
-- the old end when the days they cover are.
CREATE TABLE audit_chain (
    number     BIGINT NOT NULL PRIMARY KEY,
    previous   {{.Blob}} NOT NULL,
    digest     {{.Blob}} NOT NULL, -- over previous and the batches below
    count      BIGINT NOT NULL,    -- batches in this link
    first_at   BIGINT NOT NULL,    -- created_at of its oldest and youngest batch
    last_at    BIGINT NOT NULL,
    last_xid   BIGINT NOT NULL,    -- the last of them, where the next link begins
    last_position BIGINT NOT NULL,
    mac        {{.Blob}} NOT NULL,
    created_at BIGINT NOT NULL
);

INSERT INTO meta (name, value) VALUES ('oldest_release', '1');
