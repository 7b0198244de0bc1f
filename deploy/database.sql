-- Once, as the database's owner:  psql "$DATABASE_URL" -f deploy/database.sql
--
-- An instance that freezes, or loses its network, amid a transaction holds locks on the runs that it had: nobody
-- could take them over until it wakes. PostgreSQL ends such a session after this time, which must be less than
-- LEASE_DURATION_SECONDS.
DO $$
BEGIN
  EXECUTE format('ALTER DATABASE %I SET idle_in_transaction_session_timeout = %L', current_database(), '5s');
END
$$;
