-- Writer: admin; tally.reject: aggregator. Records that are replayed more than once, and conflicts as finance sees
-- them.

-- A record that was rejected once more after a replay may be asked for again (`rejects replay --again`).
ALTER TABLE tally.readmission ADD COLUMN times integer NOT NULL DEFAULT 1 CHECK (times > 0);

-- A replayed record that is not counted is judged once more: its row tells the last verdict, and how many there
-- were, so that the kept rows still add up to the ledger.
ALTER TABLE tally.reject ADD COLUMN verdicts integer NOT NULL DEFAULT 1 CHECK (verdicts > 0);

CREATE OR REPLACE VIEW finance.handoff_balance AS
SELECT l.handed_off, a.readmissions, l.received, h.waiting,
       l.handed_off + a.readmissions = l.received + h.waiting AS balanced
  FROM (SELECT coalesce(sum(handed_off), 0) AS handed_off, coalesce(sum(received), 0) AS received
          FROM tally.ledger) l
 CROSS JOIN (SELECT coalesce(sum(times), 0)::bigint AS readmissions FROM tally.readmission) a
 CROSS JOIN (SELECT coalesce(sum(records), 0) AS waiting FROM tally.handoff) h;

CREATE VIEW finance.conflicts AS
SELECT r.tenant, r.reason, r.detail, r.log_time, r.topic, r.partition, r.record_offset
  FROM tally.reject r WHERE r.class = 'conflict';
COMMENT ON VIEW finance.conflicts IS
  'Events that came again with other values: the first was counted, these were not. detail names the identity and '
  'the fingerprints of both contents; the bytes stay in tally.reject (tally-admin rejects list --class conflict).';
GRANT SELECT ON finance.conflicts TO tally_finance;
