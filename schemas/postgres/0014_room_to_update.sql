-- Writer: aggregator.
-- Nearly all rows of these tables are updated again and again, and one commit often touches every row of a page. A page
-- that is born half empty takes the next version of all its rows, so such an update needs no new index entry and leaves
-- none behind (HOT); at 70 a third of them found no room on their page. In the end the tables are not larger: what found
-- no room went to other pages, and those filled up by half.
-- Takes no lock that a commit waits for. Pages that are there already fill up as they did.
ALTER TABLE tally.usage_window SET (fillfactor = 50);
ALTER TABLE tally.usage_total  SET (fillfactor = 50);
ALTER TABLE tally.gauge_window SET (fillfactor = 50);
ALTER TABLE tally.gauge_total  SET (fillfactor = 50);
ALTER TABLE tally.unique_set   SET (fillfactor = 50);
