-- The shop's three roles. The superuser runs this in the shop's database before each migration: stack/servers.py in the
-- demo, the service `roles` in docker-compose.yml. It is safe to repeat. The settings roles.* hold the passwords.
--   shop_owner   owns the tables, for migrations
--   shop         reads and writes rows, for the processes of the shop
--   shop_reader  reads rows, for probe.py and reports

DO $$
DECLARE
    role text;
    relation regclass;
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

    -- An older version's tables belong to the superuser. REASSIGN OWNED refuses that role. Sequences follow their tables.
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
                    AND relkind IN ('r', 'p', 'v', 'm') AND relowner <> 'shop_owner'::regrole LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO shop_owner', relation);
    END LOOP;
END $$;

GRANT USAGE ON SCHEMA public TO shop, shop_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO shop;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO shop_reader;

-- The same for the tables of later migrations.
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO shop;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA public GRANT USAGE ON SEQUENCES TO shop;
ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA public GRANT SELECT ON TABLES TO shop_reader;
