-- Plans of observation, their due reports, what was reported, and what there is to do.

create table plan (
    case_id    uuid        primary key,
    -- The revision of what was agreed and why. A slot that follows another is no new one.
    version    bigint      not null,
    -- 1 active, 2 paused, 3 closed.
    state      smallint    not null,
    reason     smallint    not null,
    owner      uuid,
    last_day   date,
    -- Times of the day in Japan, `HH:MM`.
    times      text[]      not null,
    opened_at  timestamptz not null,
    changed_at timestamptz not null
);

-- A report that is due. Its key makes it unique: whoever opens it twice opens it once.
create table slot (
    case_id   uuid        not null references plan,
    due_at    timestamptz not null,
    -- From here on a report counts for this slot: the moment the one before was due.
    opens_at  timestamptz not null,
    -- 1 open, 2 reported, 3 missed, 4 void.
    state     smallint    not null,
    primary key (case_id, due_at)
);
-- At most one report of a case is awaited at a time.
create unique index slot_open on slot (case_id) where state = 1;
-- Serves the search for what is overdue.
create index slot_due on slot (due_at) where state = 1;
-- What is not kept for ever (see retention.rs).
create index slot_ended on slot (due_at) where state <> 1;

create table report (
    report_id       uuid        primary key,
    case_id         uuid        not null,
    at              timestamptz not null,
    -- The organisation that reported; null where the person did.
    by_organisation uuid,
    form_version    text        not null,
    -- The coded answers, `hersys.followup.v1.HealthReport` without its message.
    answers         bytea       not null,
    -- What the person wrote, sealed.
    message         bytea
);
create index report_newest on report (case_id, at desc, report_id desc);

create table alert (
    alert_id        uuid        primary key,
    -- 1 as raised, 2 once taken.
    version         bigint      not null default 1,
    case_id         uuid        not null,
    report_id       uuid        not null references report,
    level           smallint    not null,
    reasons         smallint[]  not null,
    raised_at       timestamptz not null,
    owner           uuid,
    owner_user      uuid,
    acknowledged_at timestamptz
);
create index alert_newest on alert (case_id, raised_at desc);

create table contact_attempt (
    attempt_id      uuid        primary key,
    case_id         uuid        not null,
    at              timestamptz not null,
    channel         smallint    not null,
    reached         boolean     not null,
    note            bytea,
    by_organisation uuid        not null
);
create index contact_attempt_newest on contact_attempt (case_id, at desc);

create table care_visit (
    visit_id uuid        primary key,
    case_id  uuid        not null,
    at       timestamptz not null,
    -- `hersys.followup.v1.CareVisit`, sealed: institution and notes are free text.
    sealed   bytea       not null
);
create index care_visit_newest on care_visit (case_id, at desc);

-- Something to do. An alert's task carries the alert's id.
create table task (
    task_id    uuid        primary key,
    case_id    uuid        not null,
    kind       smallint    not null,
    since      timestamptz not null,
    owner_user uuid,
    closed_at  timestamptz
);
-- One overdue report per case is enough to call.
create unique index task_missed on task (case_id) where kind = 1 and closed_at is null;
create index task_open on task (case_id) where closed_at is null;

-- Open tasks by who may do them: what is done leaves, so that the list stays as short as the work.
create table worklist (
    organisation_id uuid        not null,
    task_id         uuid        not null references task,
    case_id         uuid        not null,
    kind            smallint    not null,
    since           timestamptz not null,
    primary key (organisation_id, task_id)
);
-- Serves the list, most urgent first, and the watch, newest first.
create index worklist_urgent on worklist (organisation_id, kind desc, since, task_id);
create index worklist_since on worklist (organisation_id, since, task_id);
create index worklist_case on worklist (case_id);
