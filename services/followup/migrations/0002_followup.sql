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
    task_id         uuid        primary key,
    version         bigint      not null default 1,
    -- In the order of urgency.
    kind            smallint    not null,
    case_id         uuid,
    notification_id uuid,
    -- The case or the notification whose present state calls for this task, and the organisation it is meant for. Both are null where
    -- it is the task of everybody who looks after the person.
    subject         uuid,
    desk            uuid,
    -- How the organisation stands to the subject.
    relation        smallint,
    since           timestamptz not null,
    due_day         date,
    -- The type of the event it came from.
    source          text        not null,
    -- Items that are missing.
    items           text[]      not null default '{}',
    -- Whose work it is; the nil UUID is nobody, so that an index serves "unassigned" like any user.
    assigned_to     uuid        not null default '00000000-0000-0000-0000-000000000000',
    -- 1 open, 2 done by a person, 3 over: a later fact ended it.
    state           smallint    not null default 1,
    closed_at       timestamptz,
    check ((subject is null) = (desk is null)),
    check ((state = 1) = (closed_at is null))
);
-- One overdue report per case is enough to call. 40: MISSED_REPORT.
create unique index task_missed on task (case_id) where kind = 40 and state = 1;
create index task_open on task (case_id) where state = 1;
-- What calls for a task calls for it once, however often it is heard. What is over may come again.
create unique index task_subject on task (subject, desk, kind, since) where state <> 3;
create index task_notification on task (notification_id) where state = 1;
-- What is not kept for ever (see retention.rs). A notice that was done stays until its reason is over, or it would come again.
create index task_closed on task (closed_at) where state = 3 or (state = 2 and desk is null);

-- Open tasks by who may do them: what is done leaves, so that the list stays as short as the work.
create table worklist (
    organisation_id uuid        not null,
    task_id         uuid        not null references task,
    case_id         uuid,
    kind            smallint    not null,
    since           timestamptz not null,
    assigned_to     uuid        not null,
    -- A task of everybody who looks after the person, and no notice: contractors work on these, too.
    is_shared       boolean     not null,
    -- When it came onto this list.
    listed_at       timestamptz not null,
    primary key (organisation_id, task_id)
);
create index worklist_task on worklist (task_id);
-- Serve the list, most urgent first: all of it, somebody's or nobody's, a case's.
create index worklist_urgent on worklist (organisation_id, kind desc, since, task_id);
create index worklist_assigned on worklist (organisation_id, assigned_to, kind desc, since, task_id);
create index worklist_case on worklist (organisation_id, case_id, kind desc, since, task_id);
-- Serve the same to contractors, who do not read past the notices of whoever entrusts them.
create index worklist_shared on worklist (organisation_id, kind desc, since, task_id) where is_shared;
create index worklist_shared_assigned on worklist (organisation_id, assigned_to, kind desc, since, task_id) where is_shared;
-- Serves the watch.
create index worklist_listed on worklist (organisation_id, listed_at, task_id);

-- Notifications (発生届), as far as they make work.
create table filing (
    notification_id uuid        primary key,
    -- The place in notification's log of the last event that was heard of it; 0 where only the registry told of it.
    seq             bigint      not null default 0,
    reporter        uuid,
    centre          uuid,
    -- Which case it belongs to, says the registry, and which centre is responsible for that.
    case_id         uuid,
    responsible     uuid,
    missing         text[]      not null default '{}',
    -- Since when something is missing.
    lacks_since     timestamptz,
    returned_at     timestamptz,
    withdrawn       boolean     not null default false
);

-- What the latest version of each case says of its notifications. Two cases may claim one notification while a version of the one
-- was asked for before its log was heard.
create table filing_case (
    notification_id uuid not null,
    case_id         uuid not null,
    responsible     uuid,
    primary key (notification_id, case_id)
);
create index filing_case_case on filing_case (case_id);
