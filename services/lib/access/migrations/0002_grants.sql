-- The service's role may append to the audit trail and read it, nothing else: not even it can rewrite history.
-- The role's name is the database's, by convention `<service>` and `<service>_app`.
do $$
declare
    app  text := current_database() || '_app';
    part regclass;
begin
    execute format('grant usage on schema public to %I', app);
    execute format('grant select, insert, update, delete on all tables in schema public to %I', app);
    execute format('grant usage on all sequences in schema public to %I', app);
    execute format('alter default privileges in schema public grant select, insert, update, delete on tables to %I', app);
    execute format('alter default privileges in schema public grant usage on sequences to %I', app);
    execute format('revoke update, delete, truncate on audit from %I', app);
    -- The log is append-only; the relay may only stamp.
    execute format('revoke update, delete, truncate on outbox from %I', app);
    for part in select relid from pg_partition_tree('outbox') where isleaf loop
        execute format('revoke all on %s from %I', part, app);
    end loop;
    execute format('grant update (seq, recorded_at) on outbox to %I', app);
    execute format('grant execute on function make_outbox_partition(date) to %I', app);
end $$;
