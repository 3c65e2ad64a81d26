-- Organisations, users, sessions, patients' credentials. Secrets are hashes or ciphertext.

create table organisation (
    organisation_id  uuid        primary key,
    version          bigint      not null,
    -- The organisation as a protobuf message: it is read and announced whole. No person's data.
    content          bytea       not null,
    kind             smallint    not null,
    prefecture       smallint    not null,
    parent_id        uuid,
    created_at       timestamptz not null default now()
);
-- One prefecture per number; kind 2 is 都道府県.
create unique index organisation_prefecture on organisation (prefecture) where kind = 2;

-- A municipality belongs to one health centre, and one centre catches the rest of a prefecture (code `NN*`).
create table jurisdiction (
    code            text primary key,
    organisation_id uuid not null references organisation
);

-- Serves the list by kind.
create index organisation_kind on organisation (kind, organisation_id);

create table account (
    user_id          uuid        primary key,
    login            text        not null,
    organisation_id  uuid        not null references organisation,
    role             smallint    not null,
    -- Argon2id (PHC string): the password, or the initial secret until it is used.
    secret_hash      text        not null,
    secret_is_initial boolean    not null default true,
    secret_expires_at timestamptz,
    totp_sealed      bytea,
    -- The last accepted time step: a code works once.
    totp_last_step   bigint      not null default 0,
    failures         integer     not null default 0,
    next_try_at      timestamptz not null default '-infinity',
    disabled_at      timestamptz,
    issued_by        uuid,
    created_at       timestamptz not null default now(),
    constraint account_login_key unique (login)
);

-- Between the first and the second factor. The challenge itself is kept as a hash.
create table challenge (
    challenge_hash bytea       primary key,
    subject        uuid        not null,
    -- enrol, otp or patient
    step           text        not null,
    -- Patients: keyed hash of the code that was sent.
    code_hash      bytea,
    -- A new authenticator's secret, until its first code proves it.
    totp_sealed    bytea,
    secret_hash    text,
    tries          integer     not null default 0,
    expires_at     timestamptz not null
);
create index challenge_expiry on challenge (expires_at);

create table session (
    session_id      uuid        primary key,
    subject         uuid        not null,
    is_patient      boolean     not null,
    organisation_id uuid        not null,
    role            smallint    not null,
    created_at      timestamptz not null default now(),
    used_at         timestamptz not null default now(),
    ended_at        timestamptz
);
create index session_subject on session (subject) where ended_at is null;

-- Refresh tokens of a session form a family. Each works once; the newest is the one without `used_at`.
create table refresh_token (
    token_hash bytea       primary key,
    session_id uuid        not null references session,
    used_at    timestamptz,
    -- The successor, sealed, so that one lost response can be repeated.
    successor  bytea,
    created_at timestamptz not null default now()
);

-- What opens the door for a patient, fetched from the registry by claim check.
create table patient (
    case_id     uuid        primary key,
    access_hash bytea       not null,
    birth_hash  bytea       not null,
    contact     bytea       not null,
    failures    integer     not null default 0,
    next_try_at timestamptz not null default '-infinity',
    created_at  timestamptz not null default now(),
    constraint patient_access_key unique (access_hash)
);

-- Messages of the embedded default, where no provider delivers them. Ciphertext.
create table message (
    message_id uuid        primary key,
    sealed     bytea       not null,
    created_at timestamptz not null default now()
);
create index message_newest on message (created_at desc, message_id);
