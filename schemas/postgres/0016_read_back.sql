-- Writer: exporter. When a row was last marked for a send, and what its minute showed at Stripe.

ALTER TABLE tally.outbox
  ADD COLUMN last_sent_at timestamptz,  -- marked then; the request went out at most ten minutes later
  ADD COLUMN read_at      timestamptz,  -- uncertain: the first of the readings that agree so far
  ADD COLUMN read_value   text;         -- what it showed; NULL: nothing

-- Of rows from before: no earlier than they can have been sent.
UPDATE tally.outbox SET last_sent_at = now() WHERE state IN ('sending', 'uncertain');
