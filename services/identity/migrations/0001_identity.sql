-- Organisations, IDs and what proves them, sessions, patients and proxies, other systems. Secrets are hashes or ciphertext.
--
-- Moments that a rule reads have no default: the service's clock binds them. `created_at … default now()` is bookkeeping.

create table organisation (
    organisation_id    uuid        primary key,
    version            bigint      not null,
    -- The organisation as a protobuf message: it is read and announced whole. No person's data.
    content            bytea       not null,
    kind               smallint    not null,
    prefecture         smallint    not null,
    parent_id          uuid,
    -- システム利用統括責任者, as a protobuf message. Ciphertext.
    responsible_sealed bytea,
    -- What a second load of the same list recognises it by.
    natural_key        text,
    created_at         timestamptz not null default now()
);
-- One prefecture per number; kind 2 is 都道府県.
create unique index organisation_prefecture on organisation (prefecture) where kind = 2;
-- Serves the list by kind.
create index organisation_kind on organisation (kind, organisation_id);
create unique index organisation_natural on organisation (natural_key) where natural_key is not null;

-- A municipality belongs to one health centre, and one centre catches the rest of a prefecture (code `NN*`).
create table jurisdiction (
    code            text primary key,
    organisation_id uuid not null references organisation
);

-- 委託. The contract as a protobuf message: it is read and announced whole. No person's data.
create table contract (
    contract_id uuid        primary key,
    version     bigint      not null,
    principal   uuid        not null references organisation,
    content     bytea       not null,
    created_at  timestamptz not null default now()
);

-- Whom a contract concerns, the principal included. Serves the list.
create table contract_party (
    organisation_id uuid not null references organisation,
    contract_id     uuid not null references contract,
    primary key (organisation_id, contract_id)
);

create table account (
    user_id           uuid        primary key,
    -- What administrators changed so far: the `etag`. Signing in does not count.
    version           bigint      not null default 1,
    login             text        not null,
    organisation_id   uuid        not null references organisation,
    role              smallint    not null,
    holder_sealed     bytea,
    mail_sealed       bytea,
    -- Field groups this ID does not see, as bits.
    hidden            integer     not null default 0 check (hidden between 0 and 65535),
    -- Argon2id (PHC string): the password; or a keyed hash of the initial secret until it is used.
    secret_hash       text        not null,
    secret_is_initial boolean     not null default true,
    secret_expires_at timestamptz,
    totp_sealed       bytea,
    -- The last accepted time step: a code works once.
    totp_last_step    bigint      not null default 0,
    failures          integer     not null default 0,
    next_try_at       timestamptz not null default '-infinity',
    disabled_at       timestamptz,
    terms_version     integer     not null default 0,
    terms_accepted_at timestamptz,
    last_sign_in_at   timestamptz,
    issued_by         uuid,
    issued_at         timestamptz not null,
    constraint account_login_key unique (login)
);
-- Serves the list of an organisation's IDs.
create index account_organisation on account (organisation_id, user_id);

-- Each stands once for a lost authenticator. 120 random bits: a keyed hash is enough.
create table recovery_code (
    user_id   uuid  not null references account,
    code_hash bytea not null,
    used_at   timestamptz,
    primary key (user_id, code_hash)
);

-- Devices that have been signed in on: guesses from elsewhere do not slow them down.
create table device (
    device_hash bytea       primary key,
    user_id     uuid        not null references account,
    failures    integer     not null default 0,
    next_try_at timestamptz not null default '-infinity',
    used_at     timestamptz not null
);
create index device_user on device (user_id, used_at);

-- Attempts with log-ins nobody has: they cost a caller what a real one costs, and show who sprays.
create table stray_attempt (
    at         timestamptz not null,
    login_hash bytea       not null
);
create index stray_attempt_at on stray_attempt (at);

-- Between the first and the second factor. The challenge itself is kept as a hash.
create table challenge (
    challenge_hash bytea       primary key,
    subject        uuid        not null,
    -- enrol, otp or patient
    step           text        not null,
    -- Patients: keyed hash of the code that was sent.
    code_hash      bytea,
    -- A new authenticator's secret and a new password, until the authenticator's first code proves it.
    totp_sealed    bytea,
    secret_hash    text,
    -- Hashes of the recovery codes that come into force with them.
    recovery       bytea[],
    -- The known device that the first factor came from.
    device_hash    bytea,
    tries          integer     not null default 0,
    expires_at     timestamptz not null
);
create index challenge_expiry on challenge (expires_at);
create index challenge_subject on challenge (subject);

create table session (
    session_id       uuid        primary key,
    subject          uuid        not null,
    -- Nil for patients and proxies.
    organisation_id  uuid        not null,
    role             smallint    not null,
    -- The case of a patient or proxy.
    case_id          uuid,
    created_at       timestamptz not null,
    used_at          timestamptz not null,
    -- When both factors were last given.
    authenticated_at timestamptz not null,
    -- Wrong codes or passwords in a row within the session.
    failures         integer     not null default 0,
    ended_at         timestamptz
);
create index session_subject on session (subject) where ended_at is null;

-- Refresh tokens of a session form a family. Each works once; the newest is the one without `used_at`.
create table refresh_token (
    token_hash bytea       primary key,
    session_id uuid        not null references session,
    used_at    timestamptz,
    -- The successor, sealed, so that one lost response can be repeated.
    successor  bytea,
    created_at timestamptz not null
);

-- What opens the door for a patient, fetched from the registry by claim check.
create table patient (
    case_id     uuid        primary key,
    access_hash bytea       not null,
    birth_hash  bytea       not null,
    contact     bytea       not null,
    -- The code printed on a slip. Keyed hash of 60 random bits.
    code_hash   bytea,
    failures    integer     not null default 0,
    next_try_at timestamptz not null default '-infinity',
    revoked_at  timestamptz,
    created_at  timestamptz not null default now(),
    constraint patient_access_key unique (access_hash)
);

-- 代理人
create table proxy (
    proxy_id     uuid        primary key,
    case_id      uuid        not null,
    access_hash  bytea       not null,
    birth_hash   bytea       not null,
    contact      bytea       not null,
    failures     integer     not null default 0,
    next_try_at  timestamptz not null default '-infinity',
    named_by     uuid        not null,
    named_at     timestamptz not null,
    -- Absent while the proxy is only proposed.
    confirmed_at timestamptz,
    dismissed_at timestamptz,
    constraint proxy_access_key unique (access_hash)
);
create index proxy_case on proxy (case_id, named_at, proxy_id) where dismissed_at is null;

-- Other government systems.
create table service_account (
    service_account_id uuid        primary key,
    -- The `etag`.
    version            bigint      not null default 1,
    organisation_id    uuid        not null references organisation,
    name               text        not null,
    scopes             text[]      not null,
    -- Public keys.
    jwks               text        not null,
    calls_per_second   integer     not null check (calls_per_second >= 0),
    issued_by          uuid        not null,
    disabled_at        timestamptz,
    created_at         timestamptz not null default now()
);

-- An assertion works once.
create table used_assertion (
    jti_hash   bytea       primary key,
    expires_at timestamptz not null
);
create index used_assertion_expiry on used_assertion (expires_at);

-- Messages of the embedded default, where no provider delivers them, and those that wait for one. Ciphertext. What a provider
-- took is no longer kept.
create table message (
    message_id uuid        primary key,
    sealed     bytea       not null,
    tries      integer     not null default 0,
    next_at    timestamptz not null,
    created_at timestamptz not null,
    -- When what it says is of no use any more: codes after minutes, secrets after three days.
    expires_at timestamptz not null
);
create index message_newest on message (created_at desc, message_id desc);
create index message_due on message (next_at);
create index message_expiry on message (expires_at);

-- Answers that hold a secret are forgotten after some minutes.
create index request_secret on request (created_at)
    where response is not null
      and rpc in ('IssueUser', 'ResetUser', 'ImportUsers', 'IssuePatientCode', 'NameProxy');

-- What is not kept for ever (see retention.rs).
create index session_open on session (created_at) where ended_at is null;
create index session_old on session (created_at);
create index refresh_token_old on refresh_token (created_at);
create index refresh_token_session on refresh_token (session_id);
