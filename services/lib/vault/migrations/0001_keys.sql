-- Data keys of the service, wrapped by the key-encryption key outside of the database, and its signing keys.

create table vault_key (
    -- 0 is the key of the blind indexes; fields are encrypted under the highest generation.
    generation integer     primary key,
    wrapped    bytea       not null,
    created_at timestamptz not null default now()
);

create table signing_key (
    kid        text        primary key,
    sealed     bytea       not null,
    public     bytea       not null,
    created_at timestamptz not null default now()
);
