-- How a person is cared for: role, referral, placement, severity, hand-over between centres.

alter table cases
    add column role                smallint not null default 1,
    add column index_case_id       uuid,
    add column last_contact_on     date,
    add column severity            smallint not null default 0,
    add column icu                 boolean  not null default false,
    add column ventilator          boolean  not null default false,
    add column ecmo                boolean  not null default false,
    add column admission_necessity smallint not null default 0,
    add column facility_id         uuid,
    add column referred_to         uuid,
    add column negative_on         date,
    add column negative_before_on  date,
    add column ventilated          boolean  not null default false;

-- 居所: where the person was cared for, in the order it was recorded.
create table case_stay (
    case_id     uuid     not null references cases,
    number      integer  not null,
    placement   smallint not null,
    since       date     not null,
    facility_id uuid,
    primary key (case_id, number)
);

-- 患者の状態, in the order it was recorded.
create table case_state (
    case_id    uuid     not null references cases,
    number     integer  not null,
    state_on   date     not null,
    severity   smallint not null,
    icu        boolean  not null,
    ventilator boolean  not null,
    ecmo       boolean  not null,
    primary key (case_id, number)
);

-- 移管 between centres. At most one is under way.
create table case_transfer (
    case_id      uuid        not null references cases,
    number       integer     not null,
    from_centre  uuid        not null,
    to_centre    uuid        not null,
    state        smallint    not null,
    -- Free text is sealed: it may name people.
    reason        bytea       not null,
    offered_at    timestamptz not null,
    answered_at   timestamptz,
    answer_reason bytea,
    primary key (case_id, number)
);
create unique index case_transfer_open on case_transfer (case_id) where state = 1;
