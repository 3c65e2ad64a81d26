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
    case_id          uuid,
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

-- Centres that had a notification before they forwarded it: they go on seeing it.
create table former_centre (
    notification_id uuid        not null references notification,
    centre_id       uuid        not null,
    until           timestamptz not null,
    primary key (notification_id, centre_id)
);
