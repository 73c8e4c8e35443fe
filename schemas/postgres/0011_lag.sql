-- Writers: aggregator; rows of tally.handoff with readmission = true: admin. A partition may lag days behind the others.

-- The last day of the log of which the block holds a record: a home that still has its own log of earlier days to read
-- leaves the row until then.
ALTER TABLE tally.handoff ADD COLUMN last_log_day date;  -- NULL: put here before this migration, taken at once

-- dropped_before says it too, and is kept up when a partition has no clock for longer than the memory reaches.
ALTER TABLE tally.deployment DROP COLUMN remembered_since;
