-- Rotation: a key is known everywhere before it is used, and what old ones sealed is sealed again step by step.

-- Written beforehand, used from this moment on.
alter table vault_key add column used_from timestamptz not null default '-infinity';
alter table signing_key add column used_from timestamptz not null default '-infinity';

-- How far re-encryption is in each column: the last row's key, as text, and the generation that was newest then.
create table vault_reencryption (
    sealed_column text    primary key,
    generation    integer not null,
    last_key      text,
    finished      boolean not null default false
);
