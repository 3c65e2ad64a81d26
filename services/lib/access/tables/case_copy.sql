-- The latest version of each case as the registry announced it: coded facts and the complete set of grants, no name.
create table case_copy (
    case_id uuid   primary key,
    version bigint not null,
    -- `hersys.registry.v1.CaseChanged`.
    facts   bytea  not null
);
