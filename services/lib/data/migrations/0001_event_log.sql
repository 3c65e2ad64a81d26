-- The owner's event log, and what a service remembers of the logs it listens to. Every service has these tables.

-- Append-only. Written in the transaction of the fact it announces; `seq` and `recorded_at` are stamped once by the relay,
-- so that readers see a log without gaps and without late arrivals.
create table outbox (
    ordinal     bigint generated always as identity,
    id          uuid        not null,
    type        text        not null,
    payload     bytea       not null,
    traceparent text        not null,
    created_at  timestamptz not null default now(),
    seq         bigint,
    recorded_at timestamptz
) partition by range (created_at);

-- Serves the relay: the rows still to be stamped, few at any time.
create index outbox_unstamped on outbox (ordinal) where seq is null;
-- Serves readers of the log.
create index outbox_seq on outbox (seq) where seq is not null;

-- Takes what no month covers, should nobody have made the partition in time.
create table outbox_default partition of outbox default;

-- Makes the partition of the month a day lies in. Runs as the owner, because the service may not create tables.
create function make_outbox_partition(day date) returns void
language plpgsql security definer set search_path = public, pg_temp as $$
declare
    first date := date_trunc('month', day);
    name  text := 'outbox_' || to_char(first, 'YYYY_MM');
begin
    if to_regclass(name) is null then
        execute format('create table %I partition of outbox for values from (%L) to (%L)',
                       name, first, first + interval '1 month');
        -- Append-only: the service writes and stamps through the parent, whose grants are narrower than the default ones.
        execute format('revoke all on %I from %I', name, current_database() || '_app');
    end if;
end $$;

select make_outbox_partition(current_date), make_outbox_partition((current_date + interval '1 month')::date);

-- One row: how far the log is. Nothing will be recorded at or before `stamped_at` any more.
create table relay (
    single        boolean     primary key default true check (single),
    stamped_seq   bigint      not null default 0,
    stamped_at    timestamptz not null default now(),
    published_seq bigint      not null default 0,
    -- The lease of who stamps and publishes: its number, which each of its writes carries, and how long it lasts.
    fence         bigint      not null default 0,
    held_until    timestamptz not null default '-infinity'
);
insert into relay default values;

-- Count and hash of the log per day (UTC), kept while stamping, so that comparing costs days and not events.
create table outbox_digest (
    day       date   primary key,
    count     bigint not null,
    hash      bigint not null,
    first_seq bigint not null,
    last_seq  bigint not null
);

-- How far each log has been handled here. Moved in the transaction of the effect: this is what makes an event count once.
create table cursor (
    source      text        primary key,
    handled_seq bigint      not null default 0,
    watermark   timestamptz not null default '-infinity'
);

-- Count and hash of what was handled, per source and day, to be compared with the owner's.
create table cursor_digest (
    source text   not null,
    day    date   not null,
    count  bigint not null,
    hash   bigint not null,
    primary key (source, day)
);

-- Events that could not be handled, with the reason. They carry coded facts only.
create table dead_letter (
    event_id    uuid        primary key,
    source      text        not null,
    seq         bigint      not null,
    type        text        not null,
    payload     bytea       not null,
    traceparent text        not null,
    recorded_at timestamptz not null,
    reason      text        not null,
    at          timestamptz not null default now()
);

-- Answers to requests already handled: the same user, id and body get the same answer, another body is refused.
create table request (
    user_id    uuid        not null,
    request_id uuid        not null,
    rpc        text        not null,
    body_hash  bytea       not null,
    response   bytea,
    created_at timestamptz not null,
    primary key (user_id, request_id)
);
-- Serves forgetting.
create index request_old on request (created_at);
