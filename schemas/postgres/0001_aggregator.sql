-- Writer: aggregator. What one commit of the aggregator writes, all of it in one transaction (promise P3).

CREATE SCHEMA tally;

-- One row: what the whole deployment shares. topic and partitions are set by the first aggregator.
CREATE TABLE tally.deployment (
  only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  identity_key bytea   NOT NULL CHECK (octet_length(identity_key) = 32),
  topic        text,
  partitions   integer CHECK (partitions > 0),
  created_at   timestamptz NOT NULL DEFAULT now()
);
-- gen_random_uuid() draws from the server's strong random source: 2 x 122 random bits.
INSERT INTO tally.deployment (identity_key)
VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- Where each partition stands. Only the guarded UPDATE of a commit, or an acquisition, changes a row.
CREATE TABLE tally.partition_state (
  partition     integer PRIMARY KEY,
  epoch         bigint  NOT NULL DEFAULT 0,
  generation    bigint  NOT NULL DEFAULT 1,
  base_offset   bigint  NOT NULL,             -- the first offset that was ever read
  next_offset   bigint  NOT NULL,             -- all below it is committed
  last_offset   bigint,                       -- the last record that was consumed, and
  last_digest   bytea,                        -- its digest: another record there = the topic was recreated
  last_log_time timestamptz,
  owner         text    NOT NULL DEFAULT '',
  updated_at    timestamptz NOT NULL DEFAULT now(),
  CHECK (next_offset >= base_offset)
) WITH (fillfactor = 50);

-- Conservation (promise P2): every consumed record is in exactly one class, and every offset is accounted for.
CREATE TABLE tally.ledger (
  partition  integer NOT NULL REFERENCES tally.partition_state,
  log_day    date    NOT NULL,
  consumed   bigint  NOT NULL DEFAULT 0,
  received   bigint  NOT NULL DEFAULT 0,
  handed_off bigint  NOT NULL DEFAULT 0,
  rejected   bigint  NOT NULL DEFAULT 0,
  unmetered  bigint  NOT NULL DEFAULT 0,
  filtered   bigint  NOT NULL DEFAULT 0,
  duplicate  bigint  NOT NULL DEFAULT 0,
  conflict   bigint  NOT NULL DEFAULT 0,
  late       bigint  NOT NULL DEFAULT 0,
  counted    bigint  NOT NULL DEFAULT 0,
  skipped    bigint  NOT NULL DEFAULT 0,      -- control records and aborted transactions
  lost       bigint  NOT NULL DEFAULT 0,      -- gone from the log before they were read
  unverifiable bigint NOT NULL DEFAULT 0,     -- of `duplicate`: decided under another catalogue generation
  PRIMARY KEY (partition, log_day),
  CONSTRAINT every_record_in_one_class CHECK (
    consumed + received = handed_off + rejected + unmetered + filtered + duplicate + conflict + late + counted)
) WITH (fillfactor = 50);

-- The dedup memory: 16-byte entries (core/identity.h), appended in the commit, never updated.
CREATE TABLE tally.dedup_segment (
  partition   integer NOT NULL,
  log_day     date    NOT NULL,               -- day of first sight by the log's clock
  segment     bigint  GENERATED ALWAYS AS IDENTITY,
  token       uuid    NOT NULL DEFAULT gen_random_uuid(),
  entry_count integer NOT NULL CHECK (entry_count > 0),
  entries     bytea   NOT NULL,
  PRIMARY KEY (partition, log_day, segment),
  CHECK (octet_length(entries) = 16 * entry_count)
);
ALTER TABLE tally.dedup_segment ALTER COLUMN entries SET STORAGE EXTERNAL;  -- random bits do not compress

-- Counters: they add up over time and over dimensions.
CREATE TABLE tally.usage_window (
  tenant       text COLLATE "C" NOT NULL,
  meter        text COLLATE "C" NOT NULL,
  window_start timestamptz NOT NULL,
  window_end   timestamptz NOT NULL,
  dimensions   text COLLATE "C" NOT NULL,     -- canonical JSON object, names sorted; '{}' without group_by
  quantity     numeric NOT NULL,
  events       bigint  NOT NULL,
  PRIMARY KEY (tenant, meter, window_start, dimensions),
  CHECK (window_end > window_start)
) WITH (fillfactor = 70);

-- Gauges: the last reading of a window; never added over time. Ties of reading time: the larger tiebreak.
CREATE TABLE tally.gauge_window (
  tenant       text COLLATE "C" NOT NULL,
  meter        text COLLATE "C" NOT NULL,
  window_start timestamptz NOT NULL,
  window_end   timestamptz NOT NULL,
  dimensions   text COLLATE "C" NOT NULL,
  reading      numeric NOT NULL,
  read_at      timestamptz NOT NULL,
  tiebreak     bytea   NOT NULL,              -- the event's 16-byte identity: the same whatever the order
  events       bigint  NOT NULL,
  PRIMARY KEY (tenant, meter, window_start, dimensions),
  CHECK (window_end > window_start)
) WITH (fillfactor = 70);

-- Records that were not counted and why, with their bytes. meter = '' : the whole record.
CREATE TABLE tally.reject (
  topic         text    NOT NULL,
  partition     integer NOT NULL,
  record_offset bigint  NOT NULL,
  meter         text    NOT NULL DEFAULT '',
  class         text    NOT NULL CHECK (class IN ('rejected', 'conflict', 'late', 'meter')),
  reason        text    NOT NULL,
  detail        text    NOT NULL,
  log_time      timestamptz NOT NULL,
  tenant        text,
  record_key    bytea,
  record_value  bytea,
  record_headers bytea,                       -- name NUL value NUL …
  PRIMARY KEY (topic, partition, record_offset, meter)
);
CREATE INDEX reject_by_reason ON tally.reject (class, reason, log_time);

-- Past a commit's budget of kept records only counts and offset ranges stay.
CREATE TABLE tally.reject_overflow (
  topic        text    NOT NULL,
  partition    integer NOT NULL,
  first_offset bigint  NOT NULL,
  last_offset  bigint  NOT NULL,
  rows         bigint  NOT NULL,
  PRIMARY KEY (topic, partition, first_offset)
);

-- Offsets that were gone from the log before they were read (retention shorter than an outage).
CREATE TABLE tally.lost_range (
  partition    integer NOT NULL,
  first_offset bigint  NOT NULL,
  last_offset  bigint  NOT NULL,
  found_at     timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (partition, first_offset)
);

-- Meters whose value was missing or bad in an otherwise good record, per day.
CREATE TABLE tally.meter_reject_count (
  meter   text NOT NULL,
  log_day date NOT NULL,
  rejects bigint NOT NULL,
  PRIMARY KEY (meter, log_day)
);

-- The fence (promise P3): the first statement of every commit. In partition order, each guarded UPDATE must
-- touch exactly one row, or TY001; then the catalogue must still be the one that the plan was made under, or
-- TY002. A log time more than 1 h ahead of the database is TY003. Each error ends the transaction with nothing written.
CREATE FUNCTION tally.fence(
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
      RAISE EXCEPTION 'partition %: the broker stamped a record %, more than 1 h ahead of this database: nothing '
        'is counted until the clocks agree', in_partition[i], in_last_log_time[i] USING ERRCODE = 'TY003';
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
