-- How people are cared for, and what room there is, on the same two time axes.

alter table case_fact
    add column icu                 boolean  not null default false,
    add column ventilator          boolean  not null default false,
    add column ecmo                boolean  not null default false,
    add column admission_necessity smallint not null default 0,
    add column responsible_centre  uuid,
    -- Of the centre responsible then: people are cared for where they are, and counted where they were received.
    add column care_prefecture     smallint not null default 0;
-- Serves the care survey: the patients under care at a moment, few among all versions.
create index case_fact_care on case_fact (recorded_to, recorded_from)
    where outcome = 0 and diagnosis_class in (1, 2, 4);

create table capacity_fact (
    facility_id   uuid        not null,
    capability    smallint    not null,
    version       bigint      not null,
    recorded_from timestamptz not null,
    recorded_to   timestamptz not null default 'infinity',
    prefecture    smallint    not null,
    secured       integer     not null,
    ready         integer     not null,
    primary key (facility_id, capability, version)
);
create index capacity_fact_valid on capacity_fact (recorded_to, recorded_from);
