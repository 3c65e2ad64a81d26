-- Beds and rooms, and who gets which. That nobody gets one twice is a constraint, not a habit.

-- For a constraint over a key and a range of time.
create extension if not exists btree_gist;

-- What a facility declared last, per capability. Its row is locked while one of its beds is given away.
create table capacity (
    facility_id uuid        not null,
    capability  smallint    not null,
    prefecture  smallint    not null,
    secured     integer     not null,
    ready       integer     not null,
    version     bigint      not null,
    -- As of when: when it was told, where somebody else entered it (代行入力).
    reported_at timestamptz not null,
    entered_at  timestamptz not null,
    entered_by  uuid        not null,
    channel     smallint    not null default 0,
    primary key (facility_id, capability)
);
-- Serves the ranking of a prefecture's facilities.
create index capacity_prefecture on capacity (prefecture, capability);

-- A bed or a room. The first `ready` numbers of a facility are offered.
create table bed (
    bed_id      uuid     primary key,
    facility_id uuid     not null,
    capability  smallint not null,
    number      integer  not null,
    constraint bed_number unique (facility_id, capability, number)
);

create table admission (
    admission_id uuid        primary key,
    case_id      uuid        not null,
    version      bigint      not null,
    state        smallint    not null,
    -- As of when it stands there: when a facility told it, where somebody else entered it later.
    since        timestamptz not null,
    capability   smallint    not null,
    prefecture   smallint    not null,
    requested_by uuid        not null,
    facility_id  uuid,
    stay_id      uuid,
    bed_number   integer,
    held_until   timestamptz,
    requested_at timestamptz not null,
    arrived_at   timestamptz,
    left_at      timestamptz,
    destination  smallint    not null default 0,
    updated_at   timestamptz not null
);
-- One bed is looked for at a time.
create unique index admission_open on admission (case_id) where state in (1, 2, 3);
-- Somebody lies in one bed at a time.
create unique index admission_present on admission (case_id) where state = 4;
-- Serve the lists of a facility, of a prefecture's coordinators, and of who asked.
create index admission_facility on admission (facility_id, updated_at desc, admission_id desc);
create index admission_prefecture on admission (prefecture, updated_at desc, admission_id desc);
create index admission_requested on admission (requested_by, updated_at desc, admission_id desc);

-- A bed is taken for a while: held until a moment, or occupied without an end yet. An admission that is declined and
-- offered again has several.
create table stay (
    stay_id      uuid      primary key,
    admission_id uuid      not null references admission,
    bed_id       uuid      not null references bed,
    during       tstzrange not null,
    constraint stay_no_overlap exclude using gist (bed_id with =, during with &&)
);
create index stay_admission on stay (admission_id);

create table refusal (
    admission_id uuid        not null references admission,
    number       integer     not null,
    facility_id  uuid        not null,
    at           timestamptz not null,
    -- Free text is sealed: it may name people.
    reason       bytea       not null,
    primary key (admission_id, number)
);

-- What facilities answered, and who entered it: both names, how it was told and when.
create table facility_answer (
    admission_id uuid        not null references admission,
    -- Of the admission, with this answer.
    version      bigint      not null,
    state        smallint    not null,
    facility_id  uuid        not null,
    entered_by   uuid        not null,
    channel      smallint    not null default 0,
    told_at      timestamptz,
    entered_at   timestamptz not null,
    primary key (admission_id, version)
);
