-- Persons, their episodes of illness, and who has which relation to them.

-- A person as known in one episode, exactly as typed then: a later episode may know another telephone.
create table person (
    person_id   uuid        primary key,
    -- The particulars as a protobuf message, sealed: identity and contact are encrypted at rest.
    sealed      bytea       not null,
    -- Blind index of both names, birth date and telephone, for finding the same person again.
    match_index bytea,
    -- Blind indexes of the telephone, and of the name in kana with the birth date, for exact search.
    phone_index bytea,
    name_index  bytea,
    created_at  timestamptz not null default now()
);
-- Serves matching at every filing.
create index person_match on person (match_index);
-- Serve exact search.
create index person_phone on person (phone_index) where phone_index is not null;
create index person_name on person (name_index) where name_index is not null;

-- An episode. Coded facts only; those of its course follow from the rows of `fact`.
create table cases (
    case_id             uuid        primary key,
    person_id           uuid        not null references person,
    version             bigint      not null,
    access_sealed       bytea       not null,
    access_hash         bytea       not null,
    role                smallint    not null,
    index_case_id       uuid,
    last_contact_on     date,
    -- The episode of the same person before this one (再感染).
    previous_case_id    uuid,
    -- An open case that seems to be of the same person; of one that was joined, the case it was joined into.
    same_person_case_id uuid,
    sex                 smallint    not null,
    age_band            smallint    not null,
    diagnosis_class     smallint    not null,
    report_date         date,
    onset_date          date,
    diagnosis_date      date,
    first_visit_date    date,
    infection_date      date,
    test_date           date,
    test_result         smallint    not null,
    test_count          integer     not null,
    negative_on         date,
    negative_before_on  date,
    severity            smallint    not null,
    icu                 boolean     not null,
    ventilator          boolean     not null,
    ecmo                boolean     not null,
    ventilated          boolean     not null,
    admission_necessity smallint    not null,
    placement           smallint    not null,
    placement_since     date,
    facility_id         uuid,
    outcome             smallint    not null,
    outcome_date        date,
    receiving_centre    uuid,
    responsible_centre  uuid,
    prefecture          smallint    not null,
    referred_to         uuid,
    created_at          timestamptz not null,
    updated_at          timestamptz not null,
    constraint cases_access_key unique (access_hash)
);
-- Serves matching: the open episodes of a person.
create index cases_person on cases (person_id, created_at desc);
-- Serves taking over from a centre that closed.
create index cases_responsible on cases (responsible_centre, case_id) where outcome = 0;

-- What was recorded about a case. Rows are added, never changed: of the rows about one subject, the one of the highest authority counts,
-- and of those the latest. What `cases` says of the course follows from them.
create table fact (
    fact_id        uuid        not null,
    case_id        uuid        not null references cases,
    -- The first row about the same thing.
    subject_id     uuid        not null,
    -- A protobuf message, coded facts only; none in the row of a withdrawal.
    content        bytea,
    authority      smallint    not null,
    recorded_at    timestamptz not null,
    -- Who recorded it; none where another service told.
    organisation_id uuid,
    user_id        uuid,
    on_behalf_of   uuid,
    channel        smallint    not null,
    told_at        timestamptz,
    source         smallint    not null,
    -- The notification or admission, and which version and part of it.
    source_id      uuid,
    source_version integer     not null,
    slot           smallint    not null,
    -- Why it was corrected or withdrawn. Free text is sealed: it may name people.
    reason         bytea,
    primary key (case_id, fact_id)
);

-- The answers of a section of a case (別紙3), in versions. Rows are added, never changed.
create table case_section (
    case_id         uuid        not null references cases,
    section         text        not null,
    revision        bigint      not null,
    -- A protobuf message, sealed: free text may name people.
    answers         bytea       not null,
    recorded_at     timestamptz not null,
    organisation_id uuid        not null,
    user_id         uuid        not null,
    on_behalf_of    uuid,
    primary key (case_id, section, revision)
);

create table case_notification (
    notification_id uuid primary key,
    -- Known before its case is stored, in one transaction.
    case_id         uuid not null references cases deferrable initially deferred,
    -- Blind indexes of the receipt number, and of the reporter's own patient number, for exact search.
    receipt_index        bytea,
    patient_number_index bytea
);
create index case_notification_case on case_notification (case_id);
-- Serve exact search.
create index case_notification_receipt on case_notification (receipt_index) where receipt_index is not null;
create index case_notification_patient_number on case_notification (patient_number_index)
    where patient_number_index is not null;

-- 濃厚接触者 of a case. A row says that there was an exposure once; whether it still stands, the contact's facts say.
create table case_contact (
    index_case_id uuid        not null,
    contact_id    uuid        not null references cases deferrable initially deferred,
    listed_at     timestamptz not null,
    primary key (index_case_id, contact_id)
);
-- Serves joining a contact that was registered twice.
create index case_contact_contact on case_contact (contact_id);
-- Serves the list, newest first.
create index case_contact_newest on case_contact (index_case_id, listed_at desc, contact_id desc);

-- Who has which relation to a case, from when to when. Never deleted: ended.
create table case_grant (
    case_id         uuid        not null references cases,
    organisation_id uuid        not null,
    relation        smallint    not null,
    -- The only user who holds it (緊急閲覧); nil where all of the organisation do.
    user_id         uuid        not null,
    since           timestamptz not null,
    until           timestamptz,
    primary key (case_id, organisation_id, relation, user_id),
    -- One centre is responsible (2) at every moment. Compared at the commit: a hand-over ends one and begins another.
    constraint case_grant_responsible exclude using btree (case_id with =) where (relation = 2 and until is null)
        deferrable initially deferred
);

-- One row per organisation and case it may see, with a copied sort key: every role lists by one index. The key never changes while the row
-- is there: pages stand still while cases change.
create table case_list (
    organisation_id uuid        not null,
    case_id         uuid        not null references cases,
    relations       smallint[]  not null,
    is_open         boolean     not null,
    -- As of the case, to filter by.
    placement       smallint    not null,
    severity        smallint    not null,
    -- Since when the organisation has it on its list.
    listed_at       timestamptz not null,
    primary key (organisation_id, case_id)
);
-- Serves what follows a change of a case.
create index case_list_case on case_list (case_id);
-- Which filter is served by which index, see `case/grants/store.rs`. All carry the sort key, so that none sorts.
create index case_list_newest on case_list (organisation_id, listed_at desc, case_id desc);
create index case_list_open on case_list (organisation_id, listed_at desc, case_id desc) where is_open;
create index case_list_placement on case_list (organisation_id, placement, listed_at desc, case_id desc) where is_open;
create index case_list_severity on case_list (organisation_id, severity, listed_at desc, case_id desc) where is_open;

-- 移管 between centres.
create table case_transfer (
    case_id       uuid        not null references cases,
    number        integer     not null,
    from_centre   uuid        not null,
    to_centre     uuid        not null,
    state         smallint    not null,
    -- Free text is sealed: it may name people.
    reason        bytea       not null,
    offered_at    timestamptz not null,
    answered_at   timestamptz,
    answer_reason bytea,
    primary key (case_id, number)
);
-- At most one is OFFERED (1).
create unique index case_transfer_open on case_transfer (case_id) where state = 1;

-- 緊急閲覧: who opened a case without a relation, until when, and why. The reason is ciphertext.
create table emergency_opening (
    opening_id      uuid        primary key,
    case_id         uuid        not null references cases,
    user_id         uuid        not null,
    organisation_id uuid        not null,
    at              timestamptz not null,
    until           timestamptz not null,
    reason          bytea       not null
);
-- Serves the list of a case, page by page.
create index emergency_opening_case on emergency_opening (case_id, at desc, opening_id desc);
-- Serves the count of a user's day.
create index emergency_opening_user on emergency_opening (user_id, at);
