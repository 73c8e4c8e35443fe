-- Writer: aggregator; horizon_seconds and future_bound_seconds later: admin (`tally-admin horizon set`). How long
-- identities are remembered, once for all who count.

-- The first aggregator that uses the database sets both; one that was started with others is refused.
ALTER TABLE tally.deployment
  ADD COLUMN horizon_seconds      bigint CHECK (horizon_seconds BETWEEN 60 AND 21000000),
  ADD COLUMN future_bound_seconds bigint CHECK (future_bound_seconds BETWEEN 0 AND 86400),
  ADD COLUMN dropped_before       date,         -- earlier days of dedup memory are gone; NULL: none was dropped
  ADD COLUMN remembered_since     date,         -- dropped_before when the horizon was last raised
  ADD CHECK ((horizon_seconds IS NULL) = (future_bound_seconds IS NULL));

-- The horizon and the future bound in whole days, and one more because days are forgotten whole.
CREATE FUNCTION tally.remembered_days(in_horizon_seconds bigint, in_future_bound_seconds bigint) RETURNS integer
LANGUAGE sql IMMUTABLE AS $$
  SELECT ((in_horizon_seconds + in_future_bound_seconds + 86399) / 86400 + 1)::integer
$$;

-- The first day that somebody may still need, by the slowest partition's clock. NULL: nobody knows yet.
CREATE FUNCTION tally.first_remembered_day() RETURNS date
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT ((SELECT min(last_log_time) FROM tally.partition_state) AT TIME ZONE 'UTC')::date
         - tally.remembered_days(horizon_seconds, future_bound_seconds)
    FROM tally.deployment
$$;

CREATE FUNCTION tally.dedup_tables_before(in_day date) RETURNS text[]
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT array_agg(c.relname::text ORDER BY c.relname)
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
   WHERE i.inhparent IN ('tally.dedup_segment'::regclass, 'tally.dedup_rollup'::regclass)
     -- As texts: the planner may look at names that are no day's before it joins.
     AND right(c.relname::text, 8) COLLATE "C" < to_char(in_day, 'YYYYMMDD')
$$;

-- Drops the days that are needed no more, and notes which; returns how many tables. It must keep out readers and
-- writers for a moment, and gives up (55P03) rather than let them queue behind it.
DROP FUNCTION tally.drop_dedup_days(integer);
CREATE FUNCTION tally.drop_dedup_days() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  first_kept date;
  children text[];
  child text;
BEGIN
  IF tally.dedup_tables_before(tally.first_remembered_day()) IS NULL THEN
    RETURN 0;
  END IF;
  SET LOCAL lock_timeout = '200ms';
  -- The horizon stays as it is until these days are gone and noted.
  PERFORM FROM tally.deployment FOR UPDATE;
  first_kept := tally.first_remembered_day();
  children := tally.dedup_tables_before(first_kept);
  IF children IS NULL THEN
    RETURN 0;
  END IF;
  PERFORM pg_advisory_xact_lock(499850701946);
  LOCK TABLE ONLY tally.dedup_rollup, ONLY tally.dedup_segment IN ACCESS EXCLUSIVE MODE;
  FOREACH child IN ARRAY children LOOP
    EXECUTE format('DROP TABLE IF EXISTS tally.%I', child);
  END LOOP;
  UPDATE tally.deployment SET dropped_before = greatest(dropped_before, first_kept);
  RETURN cardinality(children);
END $$;

-- Days that were dropped before anybody noted it: something was counted before the first day that is left.
UPDATE tally.deployment SET dropped_before = first_left.day, remembered_since = first_left.day
  FROM (SELECT to_date(min(right(c.relname::text, 8)), 'YYYYMMDD') AS day
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = 'tally.dedup_segment'::regclass) first_left
 WHERE EXISTS (SELECT FROM tally.ledger l WHERE l.log_day < first_left.day AND l.counted + l.readmitted > 0);
