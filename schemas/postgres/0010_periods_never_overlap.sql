-- Writer of tally.billing_period: exporter. A moment lies in one billing period of a tenant at most, or usage would be
-- billed twice. Judged at COMMIT, so that one transaction may end a period and begin the next in any order.
CREATE EXTENSION IF NOT EXISTS btree_gist WITH SCHEMA tally;
ALTER TABLE tally.billing_period ADD CONSTRAINT billing_periods_of_a_tenant_never_overlap
  EXCLUDE USING gist (tenant WITH =, tstzrange(period_start, period_end) WITH &&) DEFERRABLE INITIALLY DEFERRED;
