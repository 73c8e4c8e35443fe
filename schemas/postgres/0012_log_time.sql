-- Writer: admin (`tally-admin log-time set`); function fence: aggregator. What a broker's wrong clock stamped too
-- late counts as stamped at a time that an admin gives, so that its partition need not wait for that time.

-- The records of a partition from from_offset up to, not including, before_offset: what the broker stamped later
-- than the ceiling counts as stamped then. from_offset is what next_offset was when it was asked for: of what was
-- committed before nothing changes, and at most one row of a partition reaches beyond its next_offset.
CREATE TABLE tally.log_time_ceiling (
  partition     integer NOT NULL REFERENCES tally.partition_state,
  from_offset   bigint  NOT NULL,
  before_offset bigint  NOT NULL CHECK (before_offset > from_offset),
  ceiling       timestamptz NOT NULL,         -- whole milliseconds, as a broker stamps
  requested_at  timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partition, from_offset),
  EXCLUDE USING gist (partition WITH =, int8range(from_offset, before_offset) WITH &&)
);

-- For the records of a partition from next_offset on; the caller holds the catalogue's row FOR UPDATE, so that no
-- commit passes, and raises its version. An earlier row ends at next_offset: what it decided stays decided.
CREATE FUNCTION tally.set_log_time_ceiling(in_partition integer, in_before_offset bigint, in_ceiling timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  first_undecided bigint;
BEGIN
  SELECT next_offset INTO STRICT first_undecided FROM tally.partition_state WHERE partition = in_partition;
  DELETE FROM tally.log_time_ceiling WHERE partition = in_partition AND from_offset = first_undecided;
  UPDATE tally.log_time_ceiling SET before_offset = first_undecided
   WHERE partition = in_partition AND before_offset > first_undecided;
  INSERT INTO tally.log_time_ceiling (partition, from_offset, before_offset, ceiling)
  VALUES (in_partition, first_undecided, in_before_offset, in_ceiling);
END $$;

-- As before, but for a log time from the future: who was folded before the catalogue moved is told that first
-- (TY002), for a ceiling may have come with it; and the error says what an operator can do.
CREATE OR REPLACE FUNCTION tally.fence(
  in_catalogue_version bigint, in_partition integer[], in_epoch bigint[], in_generation bigint[],
  in_start bigint[], in_next bigint[], in_last_offset bigint[], in_last_digest bytea[],
  in_last_log_time timestamptz[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  touched bigint;
  current_version bigint;
BEGIN
  FOR i IN 1 .. array_length(in_partition, 1) LOOP
    -- One record from the future would make the dedup memory forget what it must still know.
    IF in_last_log_time[i] > clock_timestamp() + interval '1 hour' THEN
      SELECT version INTO current_version FROM tally.catalogue_version;
      IF current_version IS DISTINCT FROM in_catalogue_version THEN
        RAISE EXCEPTION 'the catalogue moved from version % to %', in_catalogue_version, current_version
          USING ERRCODE = 'TY002';
      END IF;
      RAISE EXCEPTION 'partition %: the broker stamped a record %, more than 1 h ahead of this database: nothing '
        'is counted until the clocks agree. It is one of offsets % to %; set the broker''s clock right, then '
        '`tally-admin log-time set --partition % --before-offset N` counts what came before offset N as of now: '
        'N is the first record that is stamped right again, or the end of the log', in_partition[i],
        in_last_log_time[i], in_start[i], in_next[i] - 1, in_partition[i] USING ERRCODE = 'TY003';
    END IF;
    UPDATE tally.partition_state
       SET next_offset = in_next[i],
           last_offset = coalesce(in_last_offset[i], last_offset),
           last_digest = coalesce(in_last_digest[i], last_digest),
           last_log_time = greatest(last_log_time, in_last_log_time[i]),
           updated_at = now()
     WHERE partition = in_partition[i] AND epoch = in_epoch[i] AND generation = in_generation[i]
       AND next_offset = in_start[i];
    GET DIAGNOSTICS touched = ROW_COUNT;
    IF touched <> 1 THEN
      RAISE EXCEPTION 'partition % is no longer owned at epoch %, generation %, offset %',
        in_partition[i], in_epoch[i], in_generation[i], in_start[i] USING ERRCODE = 'TY001';
    END IF;
  END LOOP;
  SELECT version INTO current_version FROM tally.catalogue_version FOR SHARE;
  IF current_version IS DISTINCT FROM in_catalogue_version THEN
    RAISE EXCEPTION 'the catalogue moved from version % to %', in_catalogue_version, current_version
      USING ERRCODE = 'TY002';
  END IF;
END $$;
