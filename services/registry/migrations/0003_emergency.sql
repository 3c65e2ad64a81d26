-- 緊急閲覧: who opened a case without a relation, until when, and why. The reason is ciphertext.
create table break_glass (
    opening_id      uuid        primary key,
    case_id         uuid        not null references cases,
    user_id         uuid        not null,
    organisation_id uuid        not null,
    at              timestamptz not null,
    until           timestamptz not null,
    reason          bytea       not null
);
-- Serves the list of a case.
create index break_glass_case on break_glass (case_id, at desc);
