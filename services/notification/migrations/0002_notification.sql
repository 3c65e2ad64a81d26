-- Filed notifications and the inboxes they reach.

create table notification (
    notification_id  uuid        primary key,
    number           text        not null,
    revision         bigint      not null default 1,
    state            smallint    not null,
    -- The form as filed, sealed: it holds names and contacts.
    form_sealed      bytea       not null,
    form_version     date        not null,
    missing          text[]      not null,
    reporter_id      uuid        not null,
    receiving_centre uuid        not null,
    prefecture       smallint    not null,
    -- The case that the filer named: a claim, until the registry says where the notification belongs.
    named_case_id    uuid,
    -- The case it belongs to, as the registry says.
    case_id          uuid,
    -- The version of the form, from 1. Earlier ones are in notification_version.
    version          integer     not null default 1,
    -- When this version was filed, and by whom, where that is not the reporter (代行入力).
    filed_at         timestamptz not null,
    entered_by       uuid,
    channel          smallint    not null,
    told_at          timestamptz,
    -- Why it was returned or withdrawn. Free text is sealed: it may name people.
    reason           bytea,
    withdrawn_at     timestamptz,
    salt             bytea       not null,
    content_hash     bytea       not null,
    received_at      timestamptz not null,
    -- When it reached the inbox it is in: the filing, or the last forwarding.
    arrived_at       timestamptz not null,
    acknowledged_at  timestamptz,
    constraint notification_number_key unique (number)
);
-- Serves the inbox of a centre, newest first, and the watch on it.
create index notification_inbox on notification (receiving_centre, arrived_at desc, notification_id desc);
-- Serves "what is still to be accepted": few among many. State 1 is filed.
create index notification_open on notification (receiving_centre, arrived_at desc, notification_id desc) where state = 1;

-- Serves what an institution filed, newest first, and what of it is still to be supplied.
create index notification_reporter on notification (reporter_id, received_at desc, notification_id desc);
create index notification_missing on notification (reporter_id, received_at desc, notification_id desc)
    where missing <> '{}' and state <> 3;

-- Versions of the form that were amended since.
create table notification_version (
    notification_id uuid        not null references notification,
    version         integer     not null,
    form_sealed     bytea       not null,
    salt            bytea       not null,
    content_hash    bytea       not null,
    filed_at        timestamptz not null,
    entered_by      uuid,
    primary key (notification_id, version)
);

-- Centres that had a notification before they forwarded it: they go on seeing it.
create table former_centre (
    notification_id uuid        not null references notification,
    centre_id       uuid        not null,
    until           timestamptz not null,
    primary key (notification_id, centre_id)
);
