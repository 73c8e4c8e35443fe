-- Writer: none; views only. What finance reads, for the read-only role tally_finance: it sees this schema
-- and nothing else, and can write nowhere. Views run with their owner's rights.

DO $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'tally_finance') THEN
    CREATE ROLE tally_finance NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL;  -- another database of this server made it at the same moment
END $$;

CREATE SCHEMA finance;
COMMENT ON SCHEMA finance IS 'What finance reads: every figure can be followed down to the ledger and the rejects.';

CREATE VIEW finance.usage_by_hour AS
SELECT w.tenant, t.name AS tenant_name, t.tenant IS NOT NULL AS tenant_known, w.meter,
       w.window_start, w.window_end, w.dimensions::jsonb AS dimensions, w.quantity, w.events
  FROM tally.usage_window w LEFT JOIN tally.tenant t ON t.tenant = w.tenant;
COMMENT ON VIEW finance.usage_by_hour IS
  'Counters (sum, count) as they are stored: one row per tenant, meter, window and dimensions. They add up.';

CREATE VIEW finance.usage_by_day AS
SELECT w.tenant, t.name AS tenant_name, t.tenant IS NOT NULL AS tenant_known, w.meter,
       (w.window_start AT TIME ZONE coalesce(t.time_zone, 'UTC'))::date AS day,
       sum(w.quantity) AS quantity, sum(w.events) AS events
  FROM tally.usage_window w LEFT JOIN tally.tenant t ON t.tenant = w.tenant
 GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW finance.usage_by_day IS
  'Counters per day of the tenant''s time zone (UTC for unknown tenants).';

CREATE VIEW finance.usage_by_month AS
SELECT w.tenant, t.name AS tenant_name, t.tenant IS NOT NULL AS tenant_known, w.meter,
       date_trunc('month', w.window_start AT TIME ZONE coalesce(t.time_zone, 'UTC'))::date AS month,
       sum(w.quantity) AS quantity, sum(w.events) AS events
  FROM tally.usage_window w LEFT JOIN tally.tenant t ON t.tenant = w.tenant
 GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW finance.usage_by_month IS
  'Counters per month of the tenant''s time zone (UTC for unknown tenants); month is its first day.';

CREATE VIEW finance.usage_by_dimension AS
SELECT w.tenant, t.name AS tenant_name, t.tenant IS NOT NULL AS tenant_known, w.meter,
       date_trunc('month', w.window_start AT TIME ZONE coalesce(t.time_zone, 'UTC'))::date AS month,
       w.dimensions::jsonb AS dimensions, sum(w.quantity) AS quantity, sum(w.events) AS events
  FROM tally.usage_window w LEFT JOIN tally.tenant t ON t.tenant = w.tenant
 GROUP BY 1, 2, 3, 4, 5, w.dimensions;
COMMENT ON VIEW finance.usage_by_dimension IS
  'Counters per month and dimensions (for example per API key and model); sums to usage_by_month.';

CREATE VIEW finance.gauge_by_day AS
SELECT last.tenant, t.name AS tenant_name, t.tenant IS NOT NULL AS tenant_known, last.meter, last.day,
       sum(last.reading) AS reading, max(last.read_at) AS read_at
  FROM (SELECT DISTINCT ON (g.tenant, g.meter, g.day, g.dimensions) g.*
          FROM (SELECT w.*, (w.window_start AT TIME ZONE coalesce(z.time_zone, 'UTC'))::date AS day
                  FROM tally.gauge_window w LEFT JOIN tally.tenant z ON z.tenant = w.tenant) g
         ORDER BY g.tenant, g.meter, g.day, g.dimensions, g.read_at DESC, g.tiebreak DESC) last
  LEFT JOIN tally.tenant t ON t.tenant = last.tenant
 GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW finance.gauge_by_day IS
  'Gauges per day of the tenant''s time zone: the sum over dimensions of each one''s last reading of that day. '
  'Never add gauges over days.';

CREATE VIEW finance.gauge_by_month AS
SELECT m.tenant, t.name AS tenant_name, t.tenant IS NOT NULL AS tenant_known, m.meter, m.month,
       sum(last.reading) AS reading, max(last.read_at) AS read_at
  FROM (SELECT DISTINCT w.tenant, w.meter, coalesce(z.time_zone, 'UTC') AS time_zone,
               date_trunc('month', w.window_start AT TIME ZONE coalesce(z.time_zone, 'UTC')) AS month
          FROM tally.gauge_window w LEFT JOIN tally.tenant z ON z.tenant = w.tenant) m
 CROSS JOIN LATERAL (
       SELECT DISTINCT ON (w.dimensions) w.reading, w.read_at
         FROM tally.gauge_window w
        WHERE w.tenant = m.tenant AND w.meter = m.meter
          AND w.window_start < (m.month + interval '1 month') AT TIME ZONE m.time_zone
        ORDER BY w.dimensions, w.read_at DESC, w.tiebreak DESC) last
  LEFT JOIN tally.tenant t ON t.tenant = m.tenant
 GROUP BY 1, 2, 3, 4, m.month;
COMMENT ON VIEW finance.gauge_by_month IS
  'Gauges at the end of each month that has a reading: the sum over dimensions of each one''s last reading up to '
  'then. Never add gauges over months.';

CREATE VIEW finance.ledger AS
SELECT l.*, l.consumed + l.received = l.handed_off + l.rejected + l.unmetered + l.filtered + l.duplicate
            + l.conflict + l.late + l.counted AS balanced
  FROM tally.ledger l;
COMMENT ON VIEW finance.ledger IS
  'Every record read from the log, in exactly one class, per partition and day of the log''s clock.';

CREATE VIEW finance.ledger_balance AS
SELECT p.partition, p.base_offset, p.next_offset, p.next_offset - p.base_offset AS offsets,
       coalesce(sum(l.consumed), 0) AS consumed, coalesce(sum(l.skipped), 0) AS skipped,
       coalesce(sum(l.lost), 0) AS lost,
       p.next_offset - p.base_offset
         = coalesce(sum(l.consumed), 0) + coalesce(sum(l.skipped), 0) + coalesce(sum(l.lost), 0) AS balanced
  FROM tally.partition_state p LEFT JOIN tally.ledger l ON l.partition = p.partition
 GROUP BY p.partition;
COMMENT ON VIEW finance.ledger_balance IS
  'Every offset of the log is accounted for: offsets = consumed + skipped + lost.';

CREATE VIEW finance.rejects AS
SELECT r.class, r.reason, r.detail, r.tenant, nullif(r.meter, '') AS meter, r.topic, r.partition,
       r.record_offset, r.log_time, octet_length(r.record_value) AS record_bytes
  FROM tally.reject r;
COMMENT ON VIEW finance.rejects IS
  'Records that were not counted and why; the bytes stay in tally.reject (tally-admin rejects shows them).';

CREATE VIEW finance.unknown_tenants AS
SELECT u.tenant, sum(u.events) AS events, min(u.first_window) AS first_window, max(u.last_window) AS last_window
  FROM (SELECT tenant, sum(events) AS events, min(window_start) AS first_window, max(window_start) AS last_window
          FROM tally.usage_window GROUP BY tenant
        UNION ALL
        SELECT tenant, sum(events), min(window_start), max(window_start) FROM tally.gauge_window GROUP BY tenant) u
 WHERE NOT EXISTS (SELECT FROM tally.tenant t WHERE t.tenant = u.tenant)
 GROUP BY u.tenant;
COMMENT ON VIEW finance.unknown_tenants IS
  'Tenants that were counted but are not in the catalogue: nobody is billed for them.';

CREATE VIEW finance.export_state AS
SELECT o.tenant, o.stripe_customer, o.meter, o.event_name, o.period_start, o.period_end, o.state,
       count(*) AS rows, sum(o.quantity) AS quantity, min(o.created_at) AS oldest, max(o.delivered_at) AS last_delivered
  FROM tally.outbox o
 GROUP BY o.tenant, o.stripe_customer, o.meter, o.event_name, o.period_start, o.period_end, o.state;
COMMENT ON VIEW finance.export_state IS
  'What was planned for Stripe and where it stands, per customer, meter, period and state. quantity adds up for '
  'counters only; a gauge is re-stated by each row.';

CREATE VIEW finance.cost_by_month AS
SELECT u.tenant, u.tenant_name, u.meter, u.month, u.quantity, m.unit_cost, u.quantity * m.unit_cost AS cost
  FROM finance.usage_by_month u JOIN tally.meter m ON m.slug = u.meter
 WHERE m.unit_cost IS NOT NULL;
COMMENT ON VIEW finance.cost_by_month IS
  'What the usage of a tenant cost, by the catalogue''s unit cost; set it against the price for the margin.';

GRANT USAGE ON SCHEMA finance TO tally_finance;
GRANT SELECT ON ALL TABLES IN SCHEMA finance TO tally_finance;
