-- Writer: aggregator. How many events each meter took, kept apart from the windows: what they are checked against.

-- Each record that a meter took is one event of it. Written in the commit that writes the windows, under the lowest
-- partition of that commit, whose row the fence has locked: no two commits wait for each other here.
CREATE TABLE tally.meter_ledger (
  partition integer NOT NULL,
  meter     text COLLATE "C" NOT NULL,
  events    bigint  NOT NULL,
  PRIMARY KEY (partition, meter)
) WITH (fillfactor = 50);

-- What was counted before this migration is taken from the windows as they stand.
INSERT INTO tally.meter_ledger (partition, meter, events)
SELECT (SELECT coalesce(min(partition), 0) FROM tally.partition_state), w.meter, sum(w.events)
  FROM (SELECT meter, events FROM tally.usage_window
        UNION ALL SELECT meter, events FROM tally.gauge_window
        UNION ALL SELECT meter, events FROM tally.unique_set WHERE span = 'window') w
 GROUP BY w.meter;
