-- Writers: aggregator; rows of tally.handoff with readmission = true: admin. Identities are forgotten by the clock of
-- the slowest partition, so that what it hands off still meets them.

-- The first day of the log of which the block holds a record.
ALTER TABLE tally.handoff ADD COLUMN first_log_day date;  -- NULL: put here before this migration

-- No record of an earlier day is still to come out of the log or out of tally.handoff, but for what an admin puts
-- back, and for one that a broker stamped while its clock stepped back. NULL: nobody has read anything yet. A
-- partition that nobody has read is taken to be 14 days behind the fastest (core/limits.h, kMaxLagDays): it may be
-- that nothing ever comes.
CREATE FUNCTION tally.slowest_day() RETURNS date
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT least(min(s.last_log_time AT TIME ZONE 'UTC')::date,
               CASE WHEN count(s.last_log_time) < (SELECT partitions FROM tally.deployment)
                    THEN max(s.last_log_time AT TIME ZONE 'UTC')::date - 14 END,
               (SELECT min(first_log_day) FROM tally.handoff WHERE NOT readmission))
    FROM tally.partition_state s
   WHERE EXISTS (SELECT FROM tally.partition_state WHERE last_log_time IS NOT NULL)
$$;

CREATE OR REPLACE FUNCTION tally.first_remembered_day() RETURNS date
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT tally.slowest_day() - tally.remembered_days(horizon_seconds, future_bound_seconds)
    FROM tally.deployment
$$;
