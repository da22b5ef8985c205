-- The shop's three roles. The superuser runs this in the shop's database before the first migration, and again once this
-- file changes. It is safe to repeat: stack/servers.py in the demo, and the service `roles` in docker-compose.yml, run it
-- at each start. The settings roles.* hold the passwords.
--   shop_owner   owns the tables, for migrations
--   shop         reads and writes rows, for the processes of the shop
--   shop_reader  reads the back room's tables, for probe.py and reports: no session, hash, key or token

DO $$
DECLARE
    role text;
    relation regclass;
    base text;
    writer regprocedure;
BEGIN
    FOREACH role IN ARRAY ARRAY['shop_owner', 'shop', 'shop_reader'] LOOP
        IF to_regrole(role) IS NULL THEN
            EXECUTE format('CREATE ROLE %I', role);
        END IF;
        EXECUTE format('ALTER ROLE %I LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD %L',
                       role, current_setting('roles.' || role));
    END LOOP;

    EXECUTE format('ALTER DATABASE %I OWNER TO shop_owner', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO shop, shop_reader', current_database());

    -- Any role may connect to the server's own databases, and has temporary tables there.
    FOR base IN SELECT datname FROM pg_database WHERE datname IN ('postgres', 'template1') LOOP
        EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', base);
    END LOOP;

    -- Any role may fill the disk with large objects and with messages in the log of changes.
    FOR writer IN SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
                  AND (proname ~ '^lo_|^lo(read|write)$' OR proname = 'pg_logical_emit_message') LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', writer);
    END LOOP;

    -- An older version's tables belong to the superuser. REASSIGN OWNED refuses that role. Sequences follow their tables.
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
                    AND relkind IN ('r', 'p', 'v', 'm') AND relowner <> 'shop_owner'::regrole LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO shop_owner', relation);
    END LOOP;
END $$;

-- The limits of settings.py, for sessions behind a pooler, which drops what the settings send.
ALTER ROLE shop SET statement_timeout = '10s';
ALTER ROLE shop SET lock_timeout = '5s';
ALTER ROLE shop SET idle_in_transaction_session_timeout = '10s';

GRANT USAGE ON SCHEMA public TO shop, shop_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO shop;

-- The same for the tables of later migrations.
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO shop;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA public GRANT USAGE ON SEQUENCES TO shop;

-- An older version let the reader read all tables. Default privileges know no names, so a trigger covers later tables:
-- without it, probe.py could read nothing between the first migration and the next run of this file.
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA public REVOKE SELECT ON TABLES FROM shop_reader;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM shop_reader;
DROP EVENT TRIGGER IF EXISTS let_reader_read;
DROP FUNCTION IF EXISTS let_reader_read();  -- not replaced, which would keep a foreign owner

CREATE FUNCTION let_reader_read() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    relation regclass;
BEGIN
    -- None on a server without the role, where a dump was restored.
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
                    AND relkind IN ('r', 'p', 'v', 'm') AND starts_with(relname, 'backroom_')
                    AND NOT has_table_privilege(to_regrole('shop_reader')::oid, oid, 'SELECT') LOOP
        EXECUTE format('GRANT SELECT ON %s TO shop_reader', relation);
    END LOOP;
END $$;
CREATE EVENT TRIGGER let_reader_read ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'COMMENT')
    EXECUTE FUNCTION let_reader_read();
-- This fires it.
COMMENT ON FUNCTION let_reader_read() IS 'Grants shop_reader the tables backroom_*; see roles.sql.';
