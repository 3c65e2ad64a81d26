-- What a service needs to decide who may: its copy of the directory, ended sessions, and the audit trail.

-- Organisations as identity announced them; `seq` is the event's place in identity's log.
create table directory (
    organisation_id uuid     primary key,
    version         bigint   not null,
    seq             bigint   not null,
    kind            smallint not null,
    name            text     not null,
    prefecture      smallint not null,
    jurisdiction    text[]   not null,
    catch_all       boolean  not null,
    rights          smallint not null,
    parent_id       uuid
);
-- Serves the refresh of the copy in memory: what changed since.
create index directory_seq on directory (seq);

-- Sessions and users whose tokens are no longer good.
create table revocation (
    subject text        primary key,
    at      timestamptz not null,
    seq     bigint      not null
);
create index revocation_seq on revocation (seq);

-- Who did what with whose data. Append-only for the service too.
create table audit (
    id              bigint      generated always as identity primary key,
    at              timestamptz not null default now(),
    user_id         uuid,
    organisation_id uuid,
    -- A service of the mesh, for internal reads.
    service         text,
    -- The organisation without rights on whose behalf a centre entered.
    on_behalf_of    uuid,
    rpc             text        not null,
    record          uuid        not null,
    field_groups    smallint[]  not null,
    request_id      uuid,
    trace_id        text        not null
);
-- Serves "who saw this patient".
create index audit_record on audit (record, at);
