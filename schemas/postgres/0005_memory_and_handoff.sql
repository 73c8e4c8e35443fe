-- Writer: aggregator; tally.readmission and handoff rows with readmission = true: admin. The dedup memory by
-- day, records on their way to another partition, and a topic that grows.

-- A mark of the topology: raised with every growth of the topic, together with each row of partition_state.
ALTER TABLE tally.deployment ADD COLUMN generation bigint NOT NULL DEFAULT 1;
UPDATE tally.deployment SET generation = coalesce((SELECT max(generation) FROM tally.partition_state), 1);
ALTER TABLE tally.partition_state ALTER COLUMN generation DROP DEFAULT;  -- a row is born with the deployment's

-- The dedup memory: 16-byte entries (core/identity.h). A commit appends one row per partition and day to
-- dedup_segment; a roll-up joins small rows into few large ones of dedup_rollup. Two tables, so that the space
-- of the small rows is used again by the next small ones and the large rows lie dense. Days are dropped, never
-- deleted from.
ALTER TABLE tally.dedup_segment RENAME TO dedup_segment_0001;
ALTER INDEX tally.dedup_segment_pkey RENAME TO dedup_segment_0001_pkey;

CREATE TABLE tally.dedup_segment (
  partition   integer NOT NULL,
  log_day     date    NOT NULL,               -- day of first sight by the log's clock
  partitions  integer NOT NULL CHECK (partitions > 0),  -- of the topic, when the row was written
  token       uuid    NOT NULL,               -- random, given by the writer
  entry_count integer NOT NULL CHECK (entry_count > 0),
  entries     bytea   NOT NULL,
  PRIMARY KEY (partition, log_day, token),
  CHECK (octet_length(entries) = 16 * entry_count)
) PARTITION BY RANGE (log_day);
ALTER TABLE tally.dedup_segment ALTER COLUMN entries SET STORAGE EXTERNAL;  -- random bits do not compress

CREATE TABLE tally.dedup_rollup (
  partition   integer NOT NULL,
  log_day     date    NOT NULL,
  partitions  integer NOT NULL CHECK (partitions > 0),
  token       uuid    NOT NULL DEFAULT gen_random_uuid(),
  replaces    uuid[]  NOT NULL,               -- every token whose entries are in here, directly or not
  entry_count integer NOT NULL CHECK (entry_count > 0),
  entries     bytea   NOT NULL,
  PRIMARY KEY (partition, log_day, token),
  CHECK (octet_length(entries) = 16 * entry_count)
) PARTITION BY RANGE (log_day);
ALTER TABLE tally.dedup_rollup ALTER COLUMN entries SET STORAGE EXTERNAL;

-- Makes the tables of a day, once, however many ask at the same moment. In a transaction of its own before the
-- commit that needs them. Attaching waits for no reader or writer, as CREATE ... PARTITION OF would.
CREATE FUNCTION tally.ensure_dedup_day(in_day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parent text;
  child text;
BEGIN
  IF to_regclass(format('tally.dedup_segment_%s', to_char(in_day, 'YYYYMMDD'))) IS NOT NULL THEN
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(499850701946);
  FOREACH parent IN ARRAY ARRAY['dedup_rollup', 'dedup_segment'] LOOP
    child := format('%s_%s', parent, to_char(in_day, 'YYYYMMDD'));
    CONTINUE WHEN to_regclass('tally.' || child) IS NOT NULL;
    EXECUTE format('CREATE TABLE tally.%I (LIKE tally.%I INCLUDING ALL)', child, parent);
    EXECUTE format('ALTER TABLE tally.%I ATTACH PARTITION tally.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, child, in_day, in_day + 1);
  END LOOP;
END $$;

-- Drops the days more than in_remembered_days behind the slowest partition's clock; returns how many tables. It
-- must keep out readers and writers for a moment, and gives up (55P03) rather than let them queue behind it.
CREATE FUNCTION tally.drop_dedup_days(in_remembered_days integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  first_kept date;
  children text[];
  child text;
BEGIN
  SELECT (min(last_log_time) AT TIME ZONE 'UTC')::date - in_remembered_days INTO first_kept
    FROM tally.partition_state WHERE last_log_time IS NOT NULL;
  SELECT array_agg(c.relname::text ORDER BY c.relname) INTO children
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
   WHERE i.inhparent IN ('tally.dedup_segment'::regclass, 'tally.dedup_rollup'::regclass)
     -- As texts: the planner may look at names that are no day's before it joins.
     AND right(c.relname::text, 8) COLLATE "C" < to_char(first_kept, 'YYYYMMDD');
  IF children IS NULL THEN
    RETURN 0;
  END IF;
  SET LOCAL lock_timeout = '200ms';
  PERFORM pg_advisory_xact_lock(499850701946);
  LOCK TABLE ONLY tally.dedup_rollup, ONLY tally.dedup_segment IN ACCESS EXCLUSIVE MODE;
  FOREACH child IN ARRAY children LOOP
    EXECUTE format('DROP TABLE IF EXISTS tally.%I', child);
  END LOOP;
  RETURN cardinality(children);
END $$;

-- What was stored so far moves over, day by day.
DO $$
DECLARE
  day date;
BEGIN
  FOR day IN SELECT DISTINCT log_day FROM tally.dedup_segment_0001 LOOP
    PERFORM tally.ensure_dedup_day(day);
  END LOOP;
  INSERT INTO tally.dedup_segment (partition, log_day, partitions, token, entry_count, entries)
  SELECT s.partition, s.log_day, d.partitions, s.token, s.entry_count, s.entries
    FROM tally.dedup_segment_0001 s CROSS JOIN tally.deployment d;
END $$;
DROP TABLE tally.dedup_segment_0001;

-- Joins small rows of one partition, day and partition count into one large row, under the claim, or TY001.
-- Rows of 1 MiB stay as they are; a joined row has at most 16 MiB. Small roll-ups are joined again once there
-- are 16 of them, so that quiet partitions too end in few rows. Returns how many rows were joined: call it until
-- it returns 0. READ COMMITTED: what it joins is read after the claim is locked.
CREATE FUNCTION tally.claim_for_roll_up(in_partition integer, in_epoch bigint, in_generation bigint) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  PERFORM FROM tally.partition_state
    WHERE partition = in_partition AND epoch = in_epoch AND generation = in_generation FOR NO KEY UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'partition % is no longer owned at epoch %, generation %', in_partition, in_epoch, in_generation
      USING ERRCODE = 'TY001';
  END IF;
END $$;

CREATE FUNCTION tally.roll_up(in_partition integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  small CONSTANT integer := 65536;            -- entries: 1 MiB
  large CONSTANT integer := 1048576;          -- entries: 16 MiB
  joined bigint;
BEGIN
  WITH picked AS (
    SELECT r.log_day, r.token
      FROM (SELECT log_day, partitions, token, sum(entry_count) OVER w AS up_to
              FROM tally.dedup_segment WHERE partition = in_partition AND entry_count < small
            WINDOW w AS (PARTITION BY log_day, partitions ORDER BY token)) r
      JOIN (SELECT log_day, partitions FROM tally.dedup_segment
             WHERE partition = in_partition AND entry_count < small
             GROUP BY log_day, partitions HAVING count(*) > 1
             ORDER BY log_day, partitions LIMIT 1) g USING (log_day, partitions)
     WHERE r.up_to <= large
  ), gone AS (
    DELETE FROM tally.dedup_segment s USING picked p
     WHERE s.partition = in_partition AND s.log_day = p.log_day AND s.token = p.token
    RETURNING s.log_day, s.partitions, s.token, s.entry_count, s.entries
  ), made AS (
    INSERT INTO tally.dedup_rollup (partition, log_day, partitions, replaces, entry_count, entries)
    SELECT in_partition, log_day, partitions, array_agg(token), sum(entry_count), string_agg(entries, '')
      FROM gone GROUP BY log_day, partitions
  )
  SELECT count(*) INTO joined FROM gone;
  IF joined > 0 THEN
    RETURN joined;
  END IF;
  WITH picked AS (
    SELECT r.log_day, r.token
      FROM (SELECT log_day, partitions, token, sum(entry_count) OVER w AS up_to
              FROM tally.dedup_rollup WHERE partition = in_partition AND entry_count < small
            WINDOW w AS (PARTITION BY log_day, partitions ORDER BY token)) r
      JOIN (SELECT log_day, partitions FROM tally.dedup_rollup
             WHERE partition = in_partition AND entry_count < small
             GROUP BY log_day, partitions HAVING count(*) >= 16
             ORDER BY log_day, partitions LIMIT 1) g USING (log_day, partitions)
     WHERE r.up_to <= large
  ), gone AS (
    DELETE FROM tally.dedup_rollup s USING picked p
     WHERE s.partition = in_partition AND s.log_day = p.log_day AND s.token = p.token
    RETURNING s.log_day, s.partitions, s.token, s.replaces, s.entry_count, s.entries
  ), made AS (
    INSERT INTO tally.dedup_rollup (partition, log_day, partitions, replaces, entry_count, entries)
    SELECT in_partition, g.log_day, g.partitions,
           (SELECT array_agg(t) FROM gone o CROSS JOIN unnest(o.token || o.replaces) t
             WHERE o.log_day = g.log_day AND o.partitions = g.partitions),
           sum(g.entry_count), string_agg(g.entries, '')
      FROM gone g GROUP BY g.log_day, g.partitions
  )
  SELECT count(*) INTO joined FROM gone;
  RETURN joined;
END $$;

-- Records whose home is another partition than the one they were read from (aggregator/handoff.h): put here in
-- the commit of the one, removed in the commit of the other.
CREATE TABLE tally.handoff (
  id          bigint  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source      integer NOT NULL,               -- who put it here
  home        integer NOT NULL,               -- whose it is, under
  partitions  integer NOT NULL CHECK (partitions > 0),
  records     bigint  NOT NULL CHECK (records > 0),
  block       bytea   NOT NULL,
  readmission boolean NOT NULL DEFAULT false, -- put here by `tally-admin rejects replay`
  created_at  timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE tally.handoff ALTER COLUMN block SET STORAGE EXTERNAL;  -- short-lived: not worth compressing
CREATE INDEX handoff_by_home ON tally.handoff (home, id);

-- Removes just these rows, or TY001: somebody else has folded one of them. After the fence, in its transaction.
CREATE FUNCTION tally.take_handoffs(in_home integer, in_ids bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  taken bigint;
BEGIN
  DELETE FROM tally.handoff WHERE home = in_home AND id = ANY (in_ids);
  GET DIAGNOSTICS taken = ROW_COUNT;
  IF taken <> cardinality(in_ids) THEN
    RAISE EXCEPTION 'partition %: only % of % handed-off rows are still there', in_home, taken, cardinality(in_ids)
      USING ERRCODE = 'TY001';
  END IF;
END $$;

-- What an admin put back: one row for each record put into tally.handoff, so that none is put there twice.
CREATE TABLE tally.readmission (
  topic         text    NOT NULL,
  partition     integer NOT NULL,
  record_offset bigint  NOT NULL,
  meter         text    NOT NULL DEFAULT '',
  requested_at  timestamptz NOT NULL DEFAULT now(),
  reason        text    NOT NULL,
  PRIMARY KEY (topic, partition, record_offset, meter)
);

-- Counted after an admin put it back: a class of its own, so that the balance sheet shows it.
ALTER TABLE tally.ledger ADD COLUMN readmitted bigint NOT NULL DEFAULT 0;
ALTER TABLE tally.ledger DROP CONSTRAINT every_record_in_one_class;
ALTER TABLE tally.ledger ADD CONSTRAINT every_record_in_one_class CHECK (
  consumed + received = handed_off + rejected + unmetered + filtered + duplicate + conflict + late + counted
                        + readmitted);

-- The topic has grown: every partition's generation is raised, in order, so that no plan made under fewer
-- partitions commits any more. The caller holds the deployment's row FOR UPDATE.
CREATE FUNCTION tally.raise_generation(in_partitions integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  raised bigint;
BEGIN
  UPDATE tally.deployment SET partitions = in_partitions, generation = generation + 1
    RETURNING generation INTO raised;
  PERFORM FROM tally.partition_state ORDER BY partition FOR UPDATE;
  UPDATE tally.partition_state SET generation = raised, updated_at = now();
END $$;

-- Columns of a view are added at its end only, so this one is made anew.
DROP VIEW finance.ledger;
CREATE VIEW finance.ledger AS
SELECT l.partition, l.log_day, l.consumed, l.received, l.handed_off, l.rejected, l.unmetered, l.filtered,
       l.duplicate, l.conflict, l.late, l.counted, l.readmitted, l.skipped, l.lost, l.unverifiable,
       l.consumed + l.received = l.handed_off + l.rejected + l.unmetered + l.filtered + l.duplicate
            + l.conflict + l.late + l.counted + l.readmitted AS balanced
  FROM tally.ledger l;
COMMENT ON VIEW finance.ledger IS
  'Every record read from the log or received from another partition, in exactly one class, per partition and '
  'day of the log''s clock.';

CREATE VIEW finance.handoff_balance AS
SELECT l.handed_off, a.readmissions, l.received, h.waiting,
       l.handed_off + a.readmissions = l.received + h.waiting AS balanced
  FROM (SELECT coalesce(sum(handed_off), 0) AS handed_off, coalesce(sum(received), 0) AS received
          FROM tally.ledger) l
 CROSS JOIN (SELECT count(*) AS readmissions FROM tally.readmission) a
 CROSS JOIN (SELECT coalesce(sum(records), 0) AS waiting FROM tally.handoff) h;
COMMENT ON VIEW finance.handoff_balance IS
  'Records on their way to another partition, or put back by an admin: handed off + readmissions = received + '
  'waiting.';
GRANT SELECT ON finance.ledger, finance.handoff_balance TO tally_finance;
