-- IDs, contracts, devices, recovery, other systems and proxies.

alter table organisation
    -- システム利用統括責任者, as a protobuf message. Ciphertext.
    add column responsible_sealed bytea,
    -- What a second load of the same list recognises it by.
    add column natural_key text;
create unique index organisation_natural on organisation (natural_key) where natural_key is not null;

alter table account
    add column holder_sealed     bytea,
    add column mail_sealed       bytea,
    -- Field groups this ID does not see, as bits.
    add column hidden            integer     not null default 0,
    add column terms_version     integer     not null default 0,
    add column terms_accepted_at timestamptz,
    add column last_sign_in_at   timestamptz;
-- Serves the list of an organisation's IDs.
create index account_organisation on account (organisation_id, user_id);

alter table session
    -- When both factors were last given.
    add column authenticated_at timestamptz not null default now(),
    -- The case of a proxy; a patient's subject is the case.
    add column case_id          uuid,
    -- Wrong codes or passwords in a row within the session.
    add column failures         integer     not null default 0;

-- Hashes of a new enrolment's recovery codes, until its authenticator is proved.
alter table challenge
    add column recovery    bytea[],
    -- The known device that the first factor came from.
    add column device_hash bytea;
create index challenge_subject on challenge (subject);

-- Answers that hold a secret are forgotten after some minutes.
create index request_secret on request (created_at)
    where response is not null
      and rpc in ('IssueUser', 'ResetUser', 'ImportUsers', 'IssuePatientCode', 'NameProxy');

-- Devices that have been signed in on: guesses from elsewhere do not slow them down.
create table device (
    device_hash bytea       primary key,
    user_id     uuid        not null references account,
    failures    integer     not null default 0,
    next_try_at timestamptz not null default '-infinity',
    used_at     timestamptz not null default now()
);
create index device_user on device (user_id, used_at);

-- Attempts with log-ins nobody has: they cost a caller what a real one costs, and show who sprays.
create table stray_attempt (
    at         timestamptz not null default now(),
    login_hash bytea       not null
);
create index stray_attempt_at on stray_attempt (at);

-- Each stands once for a lost authenticator. 120 random bits: a keyed hash is enough.
create table recovery_code (
    user_id   uuid  not null references account,
    code_hash bytea not null,
    used_at   timestamptz,
    primary key (user_id, code_hash)
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

-- Other government systems.
create table service_account (
    service_account_id uuid        primary key,
    organisation_id    uuid        not null references organisation,
    name               text        not null,
    scopes             text[]      not null,
    -- Public keys.
    jwks               text        not null,
    calls_per_second   integer     not null,
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

alter table patient
    -- The code printed on a slip. Keyed hash of 50 random bits.
    add column code_hash  bytea,
    add column revoked_at timestamptz;

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
    named_at     timestamptz not null default now(),
    dismissed_at timestamptz,
    constraint proxy_access_key unique (access_hash)
);
create index proxy_case on proxy (case_id, named_at) where dismissed_at is null;

-- Delivery: what a provider took is no longer kept.
alter table message
    add column tries   integer     not null default 0,
    add column next_at timestamptz not null default now();
create index message_due on message (next_at);
