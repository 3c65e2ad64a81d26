-- Dates and cut-off of organisations, contracts between them, and the seals of the audit trail.

alter table directory
    add column class       smallint not null default 0,
    add column valid_from  date,
    add column valid_until date,
    add column opens_on    date,
    add column suspended   boolean  not null default false;

-- Contracts (委託) as identity announced them.
create table contract_copy (
    contract_id uuid       primary key,
    version     bigint     not null,
    seq         bigint     not null,
    principal   uuid       not null,
    contractors uuid[]     not null,
    scopes      smallint[] not null,
    first_day   date       not null,
    last_day    date       not null,
    ended       boolean    not null
);
create index contract_copy_seq on contract_copy (seq);

-- The transaction a row was written by: once every older transaction has ended, no row can appear among the older ones.
alter table audit add column xid xid8 not null default pg_current_xact_id();
-- What the sealer reads next.
create index audit_order on audit (xid, id);
-- "Who saw this patient" and "what did this account see", newest first, at any size.
drop index audit_record;
create index audit_record on audit (record, id);
create index audit_user on audit (user_id, id) where user_id is not null;

-- The chain: one row per sealed row of the trail, in the order of sealing.
create table audit_seal (
    place    bigint primary key,
    audit_id bigint not null,
    seal     bytea  not null
);

-- Signatures over the chain up to a place.
create table audit_checkpoint (
    place     bigint      primary key,
    signature text        not null,
    at        timestamptz not null default now()
);

-- How far the sealer is. A place in the trail, not a proof: proofs are the two tables above.
create table audit_sealed (
    one      boolean primary key default true check (one),
    xid      xid8    not null default '0',
    audit_id bigint  not null default 0
);
insert into audit_sealed default values;

do $$
declare
    app text := current_database() || '_app';
begin
    execute format('grant select, insert on contract_copy, audit_seal, audit_checkpoint to %I', app);
    execute format('grant update, delete on contract_copy to %I', app);
    execute format('grant select, update on audit_sealed to %I', app);
    execute format('revoke update, delete, truncate on audit_seal, audit_checkpoint from %I', app);
    execute format('revoke insert, delete, truncate on audit_sealed from %I', app);
end $$;
