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
    -- The transaction that filed this version: its row in the audit trail carries the same.
    filed_in         xid8        not null default pg_current_xact_id(),
    -- Why it was returned or withdrawn. Free text is sealed: it may name people.
    reason           bytea,
    withdrawn_at     timestamptz,
    salt             bytea       not null,
    content_hash     bytea       not null,
    received_at      timestamptz not null,
    -- When it reached the inbox it is in, or came there again because it was amended.
    arrived_at       timestamptz not null,
    -- Since when it is in that inbox, whatever was amended since.
    placed_at        timestamptz not null,
    -- The centre it was filed or forwarded to last. It counts there: it follows its case into another inbox, and the count does not.
    counted_by       uuid        not null,
    acknowledged_at  timestamptz,
    -- Forwarded, and the registry has not said yet how the centre that has it now stands to its case.
    on_its_way       boolean     not null default false,
    -- Whose work it is in the centre that has it; the nil UUID is nobody, so that an index serves "unassigned" like any user.
    assigned_to      uuid        not null default '00000000-0000-0000-0000-000000000000',
    assigned_at      timestamptz,
    -- Whether something is missing, as the lists of an inbox ask it.
    lacks            boolean     not null generated always as (cardinality(missing) > 0) stored,
    constraint notification_number_key unique (number)
);
-- Serves the inbox of a centre, newest first, and the watch on it: each pair of state and "something is missing" is a range of its
-- own, and whoever asks for several of them merges their first rows.
create index notification_inbox on notification (receiving_centre, state, lacks, arrived_at desc, notification_id desc);
-- The same for what is assigned to a user, or to nobody.
create index notification_desk
    on notification (receiving_centre, assigned_to, state, lacks, arrived_at desc, notification_id desc);

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
    channel         smallint    not null,
    told_at         timestamptz,
    form_version    date        not null,
    filed_in        xid8        not null,
    primary key (notification_id, version)
);

-- Which notifications the latest version of each case that was heard lists. Two cases list one for as long as the word of one of them
-- is late: a notification stays with its case until that case lists it no more.
create table case_listing (
    notification_id uuid not null references notification,
    case_id         uuid not null,
    primary key (notification_id, case_id)
);
-- Serves what a case listed until now.
create index case_listing_case on case_listing (case_id);

-- Centres that had a notification before they forwarded it, or handed its case over: they go on seeing it.
create table former_centre (
    notification_id uuid        not null references notification,
    centre_id       uuid        not null,
    until           timestamptz not null,
    primary key (notification_id, centre_id)
);

-- Drafts of forms. A draft that is filed, discarded or left alone for 30 days is deleted.
create table draft (
    draft_id        uuid        primary key,
    -- Whose it is, and who saved it last.
    organisation_id uuid        not null,
    user_id         uuid        not null,
    -- The form as it was typed, sealed: it holds names and contacts.
    form_sealed     bytea       not null,
    case_id         uuid,
    revision        bigint      not null,
    created_at      timestamptz not null,
    updated_at      timestamptz not null
);
-- Serves an organisation's drafts, newest first. By when they were begun: pages stand still while drafts are saved.
create index draft_organisation on draft (organisation_id, created_at desc, draft_id desc);
-- Serves the sweep of those that were left alone.
create index draft_updated on draft (updated_at);

-- Local items (任意入力項目): what organisations ask beyond the form, each version from a day on.
create table local_item (
    item_id         uuid        not null,
    organisation_id uuid        not null,
    from_date       date        not null,
    -- The last day.
    until_date      date,
    revision        bigint      not null,
    type            smallint    not null,
    ja              text        not null,
    en              text        not null,
    choice_codes    text[]      not null,
    choice_ja       text[]      not null,
    choice_en       text[]      not null,
    defined_by      uuid        not null,
    defined_at      timestamptz not null,
    primary key (item_id, from_date)
);
-- Serves what an area asks on a day.
create index local_item_organisation on local_item (organisation_id, item_id, from_date desc);
