-- De-identified facts on two time axes: when it happened (the dates) and when we learned it (recorded_from, recorded_to).

create table case_fact (
    case_id             uuid        not null,
    version             bigint      not null,
    recorded_from       timestamptz not null,
    recorded_to         timestamptz not null default 'infinity',
    prefecture          smallint    not null,
    centre_id           uuid,
    responsible_centre  uuid,
    -- Of the centre responsible then: people are cared for where they are, and counted where they were received.
    care_prefecture     smallint    not null,
    sex                 smallint    not null,
    age_band            smallint    not null,
    diagnosis_class     smallint    not null,
    report_date         date,
    onset_date          date,
    test_date           date,
    test_count          integer     not null,
    outcome             smallint    not null,
    placement           smallint    not null,
    icu                 boolean     not null,
    ventilator          boolean     not null,
    ecmo                boolean     not null,
    admission_necessity smallint    not null,
    primary key (case_id, version)
);
-- Serves questions about the present, by far the most frequent.
create index case_fact_current on case_fact (prefecture, report_date) where recorded_to = 'infinity';
-- Serves the care survey: the patients under care at a moment, few among all versions.
create index case_fact_care on case_fact (recorded_to, recorded_from)
    where outcome = 0 and diagnosis_class in (1, 2, 4);

-- The value of a dimension by its number in `hersys.statistics.v1.Dimension`, as text. Keeps the query itself fixed.
create function fact_key(f case_fact, dimension integer) returns text
language sql immutable parallel safe as $$
    select case dimension
        when 1 then f.report_date::text
        when 2 then f.onset_date::text
        when 3 then f.test_date::text
        when 4 then lpad(f.prefecture::text, 2, '0')
        when 5 then f.centre_id::text
        when 6 then lpad(f.age_band::text, 2, '0')
        when 7 then f.sex::text
        when 8 then f.outcome::text
    end
$$;

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
