-- Writer: aggregator; tally.billing_period: exporter. Every aggregation: totals per day, month and billing
-- period, unique counts, and the guard against dimensions without end.
-- What a window is stands in docs/decisions/0007-aggregations.md. usage_window holds sum and count,
-- gauge_window latest, max and min, unique_set and unique_member the rest.

-- Billing periods, as Stripe's subscriptions have them; written two periods ahead. A change of them raises the
-- catalogue's version like any other change of how events are counted, so that no commit misses it.
CREATE TABLE tally.billing_period (
  tenant       text COLLATE "C" NOT NULL,
  period_start timestamptz NOT NULL CHECK (period_start = date_trunc('second', period_start)),
  period_end   timestamptz NOT NULL CHECK (period_end = date_trunc('second', period_end)),
  PRIMARY KEY (tenant, period_start),
  CHECK (period_end > period_start)
);
CREATE FUNCTION tally.billing_period_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE tally.catalogue_version SET version = version + 1, changed_at = now();
  RETURN NULL;
END $$;
CREATE TRIGGER raise_version AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON tally.billing_period
  FOR EACH STATEMENT EXECUTE FUNCTION tally.billing_period_changed();

-- Periods whose totals exist. A period is opened once, before the first commit that knows it: its totals are
-- born from the windows that start in it; from then on commits add to them. One whose end moved is opened again.
CREATE TABLE tally.period_opened (
  tenant       text COLLATE "C" NOT NULL,
  period_start timestamptz NOT NULL,
  period_end   timestamptz NOT NULL,
  PRIMARY KEY (tenant, period_start)
);

-- Counters, over all dimensions. A span is a local day, a local month or a billing period.
CREATE TABLE tally.usage_total (
  tenant     text COLLATE "C" NOT NULL,
  meter      text COLLATE "C" NOT NULL,
  span       text COLLATE "C" NOT NULL CHECK (span IN ('day', 'month', 'period')),
  span_start timestamptz NOT NULL,
  span_end   timestamptz NOT NULL,
  first_date date    NOT NULL,                -- the tenant's date at the start
  quantity   numeric NOT NULL,
  events     bigint  NOT NULL,
  PRIMARY KEY (tenant, meter, span, span_start),
  CHECK (span_end > span_start)
) WITH (fillfactor = 70);

-- Gauges: a span's reading of each combination of dimensions: the last, largest or smallest, as the meter says.
CREATE TABLE tally.gauge_total (
  tenant     text COLLATE "C" NOT NULL,
  meter      text COLLATE "C" NOT NULL,
  span       text COLLATE "C" NOT NULL CHECK (span IN ('day', 'month', 'period')),
  span_start timestamptz NOT NULL,
  dimensions text COLLATE "C" NOT NULL,
  span_end   timestamptz NOT NULL,
  first_date date    NOT NULL,
  reading    numeric NOT NULL,
  read_at    timestamptz NOT NULL,
  tiebreak   bytea   NOT NULL,
  events     bigint  NOT NULL,
  PRIMARY KEY (tenant, meter, span, span_start, dimensions),
  CHECK (span_end > span_start)
) WITH (fillfactor = 70);

-- Unique counts: the sets of windows (per dimensions), days, months and periods ('{}': over all dimensions).
CREATE TABLE tally.unique_set (
  tenant     text COLLATE "C" NOT NULL,
  meter      text COLLATE "C" NOT NULL,
  span       text COLLATE "C" NOT NULL CHECK (span IN ('window', 'day', 'month', 'period')),
  span_start timestamptz NOT NULL,
  dimensions text COLLATE "C" NOT NULL,
  span_end   timestamptz NOT NULL,
  first_date date    NOT NULL,
  set_id     bigint  GENERATED ALWAYS AS IDENTITY UNIQUE,
  members    bigint  NOT NULL,                -- the unique count
  events     bigint  NOT NULL,
  PRIMARY KEY (tenant, meter, span, span_start, dimensions),
  CHECK (span_end > span_start)
) WITH (fillfactor = 70);

-- 128 keyed bits of each value (core/unique_value.h). Written only while the row of its set is locked.
CREATE TABLE tally.unique_member (
  set_id bigint NOT NULL,
  hi     bigint NOT NULL,
  lo     bigint NOT NULL,
  PRIMARY KEY (set_id, hi, lo)
);

-- The guard: how many combinations of dimensions a tenant and meter have in a month (UTC, by window start), and
-- how many events of further ones were counted under '{"*":"overflow"}' instead.
CREATE TABLE tally.dimension_month (
  tenant          text COLLATE "C" NOT NULL,
  meter           text COLLATE "C" NOT NULL,
  month           date   NOT NULL,
  combinations    bigint NOT NULL DEFAULT 0,
  overflow_events bigint NOT NULL DEFAULT 0,
  PRIMARY KEY (tenant, meter, month)
) WITH (fillfactor = 70);
CREATE TABLE tally.dimension_combination (
  tenant     text COLLATE "C" NOT NULL,
  meter      text COLLATE "C" NOT NULL,
  month      date NOT NULL,
  dimensions text COLLATE "C" NOT NULL,
  PRIMARY KEY (tenant, meter, month, dimensions)
);

-- Takes in new combinations up to the limit and returns the places (from 1) of those that it refused. What was
-- taken in stays in. The rows of dimension_month are locked in key order before anything is decided.
CREATE FUNCTION tally.admit_dimensions(
  in_tenant text[], in_meter text[], in_month date[], in_dimensions text[], in_limit bigint)
RETURNS TABLE (refused bigint)
LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (
       SELECT FROM unnest(in_tenant, in_meter, in_month, in_dimensions) AS a (tenant, meter, month, dimensions)
        WHERE NOT EXISTS (SELECT FROM tally.dimension_combination c
                           WHERE c.tenant = a.tenant AND c.meter = a.meter AND c.month = a.month
                             AND c.dimensions = a.dimensions)) THEN
    RETURN;
  END IF;
  INSERT INTO tally.dimension_month AS m (tenant, meter, month)
  SELECT DISTINCT a.tenant COLLATE "C", a.meter COLLATE "C", a.month
    FROM unnest(in_tenant, in_meter, in_month) AS a (tenant, meter, month)
   ORDER BY 1, 2, 3
      ON CONFLICT (tenant, meter, month) DO UPDATE SET combinations = m.combinations;
  RETURN QUERY
  WITH fresh AS (
    SELECT a.*, row_number() OVER (PARTITION BY a.tenant, a.meter, a.month
                                   ORDER BY a.dimensions COLLATE "C") AS rank
      FROM unnest(in_tenant, in_meter, in_month, in_dimensions) WITH ORDINALITY
           AS a (tenant, meter, month, dimensions, place)
     WHERE NOT EXISTS (SELECT FROM tally.dimension_combination c
                        WHERE c.tenant = a.tenant AND c.meter = a.meter AND c.month = a.month
                          AND c.dimensions = a.dimensions)
  ), judged AS (
    SELECT f.*, m.combinations + f.rank <= in_limit AS admitted
      FROM fresh f JOIN tally.dimension_month m
        ON m.tenant = f.tenant AND m.meter = f.meter AND m.month = f.month
  ), taken AS (
    INSERT INTO tally.dimension_combination AS c (tenant, meter, month, dimensions)
    SELECT j.tenant, j.meter, j.month, j.dimensions FROM judged j WHERE j.admitted
    RETURNING c.tenant, c.meter, c.month
  ), raised AS (
    UPDATE tally.dimension_month m SET combinations = m.combinations + n.taken
      FROM (SELECT t.tenant, t.meter, t.month, count(*) AS taken FROM taken t GROUP BY 1, 2, 3) n
     WHERE m.tenant = n.tenant AND m.meter = n.meter AND m.month = n.month
  )
  SELECT j.place FROM judged j WHERE NOT j.admitted;
END $$;

-- Opens every period that is not open yet. The caller holds the catalogue's version FOR SHARE, so that no commit
-- under an older one is under way and no period changes meanwhile.
CREATE FUNCTION tally.open_periods() RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
  opened bigint;
  p record;
BEGIN
  LOCK TABLE tally.period_opened IN SHARE ROW EXCLUSIVE MODE;  -- one session opens, the others find it done
  opened := 0;
  FOR p IN
    SELECT b.tenant, b.period_start, b.period_end,
           (b.period_start AT TIME ZONE coalesce(t.time_zone, 'UTC'))::date AS first_date
      FROM tally.billing_period b
      LEFT JOIN tally.tenant t ON t.tenant = b.tenant
      LEFT JOIN tally.period_opened o ON o.tenant = b.tenant AND o.period_start = b.period_start
     WHERE o.period_end IS DISTINCT FROM b.period_end
     ORDER BY b.tenant, b.period_start
  LOOP
    opened := opened + 1;
    DELETE FROM tally.usage_total
     WHERE tenant = p.tenant AND span = 'period' AND span_start = p.period_start;
    DELETE FROM tally.gauge_total
     WHERE tenant = p.tenant AND span = 'period' AND span_start = p.period_start;
    WITH gone AS (DELETE FROM tally.unique_set
                   WHERE tenant = p.tenant AND span = 'period' AND span_start = p.period_start
                  RETURNING set_id)
    DELETE FROM tally.unique_member m USING gone g WHERE m.set_id = g.set_id;

    INSERT INTO tally.usage_total
    SELECT w.tenant, w.meter, 'period', p.period_start, p.period_end, p.first_date, sum(w.quantity), sum(w.events)
      FROM tally.usage_window w
     WHERE w.tenant = p.tenant AND w.window_start >= p.period_start AND w.window_start < p.period_end
     GROUP BY w.tenant, w.meter;

    INSERT INTO tally.gauge_total
    SELECT DISTINCT ON (w.meter, w.dimensions)
           w.tenant, w.meter, 'period', p.period_start, w.dimensions, p.period_end, p.first_date,
           w.reading, w.read_at, w.tiebreak, sum(w.events) OVER (PARTITION BY w.meter, w.dimensions)
      FROM tally.gauge_window w LEFT JOIN tally.meter m ON m.slug = w.meter
     WHERE w.tenant = p.tenant AND w.window_start >= p.period_start AND w.window_start < p.period_end
     ORDER BY w.meter, w.dimensions,
              CASE m.aggregation WHEN 'max' THEN w.reading WHEN 'min' THEN -w.reading END DESC NULLS LAST,
              w.read_at DESC, w.tiebreak DESC;

    INSERT INTO tally.unique_set (tenant, meter, span, span_start, dimensions, span_end, first_date, members, events)
    SELECT s.tenant, s.meter, 'period', p.period_start, '{}', p.period_end, p.first_date, 0, sum(s.events)
      FROM tally.unique_set s
     WHERE s.tenant = p.tenant AND s.span = 'window' AND s.span_start >= p.period_start
       AND s.span_start < p.period_end
     GROUP BY s.tenant, s.meter;
    WITH added AS (
      INSERT INTO tally.unique_member
      SELECT DISTINCT o.set_id, v.hi, v.lo
        FROM tally.unique_set o
        JOIN tally.unique_set s ON s.tenant = o.tenant AND s.meter = o.meter AND s.span = 'window'
         AND s.span_start >= p.period_start AND s.span_start < p.period_end
        JOIN tally.unique_member v ON v.set_id = s.set_id
       WHERE o.tenant = p.tenant AND o.span = 'period' AND o.span_start = p.period_start
      RETURNING set_id)
    UPDATE tally.unique_set o SET members = n.members
      FROM (SELECT a.set_id, count(*) AS members FROM added a GROUP BY 1) n WHERE o.set_id = n.set_id;

    INSERT INTO tally.period_opened AS o VALUES (p.tenant, p.period_start, p.period_end)
        ON CONFLICT (tenant, period_start) DO UPDATE SET period_end = excluded.period_end;
  END LOOP;
  RETURN opened;
END $$;

-- Days and months of what was counted before this migration.
INSERT INTO tally.usage_total
SELECT w.tenant, w.meter, s.span, s.local_start AT TIME ZONE s.time_zone,
       (s.local_start + s.length) AT TIME ZONE s.time_zone, s.local_start::date, sum(w.quantity), sum(w.events)
  FROM tally.usage_window w
  LEFT JOIN tally.tenant t ON t.tenant = w.tenant
 CROSS JOIN LATERAL (
       SELECT v.span, v.length, coalesce(t.time_zone, 'UTC') AS time_zone,
              date_trunc(v.span, w.window_start AT TIME ZONE coalesce(t.time_zone, 'UTC')) AS local_start
         FROM (VALUES ('day', interval '1 day'), ('month', interval '1 month')) v (span, length)) s
 GROUP BY 1, 2, 3, 4, 5, 6;

INSERT INTO tally.gauge_total
SELECT DISTINCT ON (w.tenant, w.meter, s.span, s.local_start, w.dimensions)
       w.tenant, w.meter, s.span, s.local_start AT TIME ZONE s.time_zone, w.dimensions,
       (s.local_start + s.length) AT TIME ZONE s.time_zone, s.local_start::date, w.reading, w.read_at, w.tiebreak,
       sum(w.events) OVER (PARTITION BY w.tenant, w.meter, s.span, s.local_start, w.dimensions)
  FROM tally.gauge_window w
  LEFT JOIN tally.tenant t ON t.tenant = w.tenant
 CROSS JOIN LATERAL (
       SELECT v.span, v.length, coalesce(t.time_zone, 'UTC') AS time_zone,
              date_trunc(v.span, w.window_start AT TIME ZONE coalesce(t.time_zone, 'UTC')) AS local_start
         FROM (VALUES ('day', interval '1 day'), ('month', interval '1 month')) v (span, length)) s
 ORDER BY w.tenant, w.meter, s.span, s.local_start, w.dimensions, w.read_at DESC, w.tiebreak DESC;

-- Views of finance: from totals now. A change of a tenant's zone leaves old days as they are; what falls on one
-- date is shown together.
CREATE OR REPLACE VIEW finance.usage_by_day AS
SELECT u.tenant, t.name AS tenant_name, t.tenant IS NOT NULL AS tenant_known, u.meter, u.first_date AS day,
       sum(u.quantity) AS quantity, sum(u.events) AS events
  FROM tally.usage_total u LEFT JOIN tally.tenant t ON t.tenant = u.tenant
 WHERE u.span = 'day'
 GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW finance.usage_by_day IS
  'Counters per day of the tenant''s time zone (UTC for unknown tenants).';

CREATE OR REPLACE VIEW finance.usage_by_month AS
SELECT u.tenant, t.name AS tenant_name, t.tenant IS NOT NULL AS tenant_known, u.meter,
       date_trunc('month', u.first_date::timestamp)::date AS month,
       sum(u.quantity) AS quantity, sum(u.events) AS events
  FROM tally.usage_total u LEFT JOIN tally.tenant t ON t.tenant = u.tenant
 WHERE u.span = 'month'
 GROUP BY 1, 2, 3, 4, 5;
COMMENT ON VIEW finance.usage_by_month IS
  'Counters per month of the tenant''s time zone (UTC for unknown tenants); month is its first day.';

CREATE VIEW finance.usage_by_period AS
SELECT u.tenant, t.name AS tenant_name, u.meter, u.span_start AS period_start, u.span_end AS period_end,
       u.quantity, u.events
  FROM tally.usage_total u LEFT JOIN tally.tenant t ON t.tenant = u.tenant
 WHERE u.span = 'period';
COMMENT ON VIEW finance.usage_by_period IS
  'Counters per billing period: the windows that start in it.';

-- A thing is a combination of dimensions. Of min meters the smallest thing counts, of the others their sum.
CREATE OR REPLACE VIEW finance.gauge_by_day AS
SELECT g.tenant, t.name AS tenant_name, t.tenant IS NOT NULL AS tenant_known, g.meter, g.first_date AS day,
       CASE WHEN m.aggregation = 'min' THEN min(g.reading) ELSE sum(g.reading) END AS reading,
       max(g.read_at) AS read_at
  FROM (SELECT DISTINCT ON (tenant, meter, first_date, dimensions) *
          FROM tally.gauge_total WHERE span = 'day'
         ORDER BY tenant, meter, first_date, dimensions, read_at DESC, tiebreak DESC) g
  LEFT JOIN tally.tenant t ON t.tenant = g.tenant
  LEFT JOIN tally.meter m ON m.slug = g.meter
 GROUP BY 1, 2, 3, 4, 5, m.aggregation;
COMMENT ON VIEW finance.gauge_by_day IS
  'Gauges per day of the tenant''s time zone: the sum over dimensions of each one''s last (latest) or largest (max) '
  'reading of that day; of min meters the smallest. Never add gauges over days.';

CREATE OR REPLACE VIEW finance.gauge_by_month AS
SELECT m.tenant, t.name AS tenant_name, t.tenant IS NOT NULL AS tenant_known, m.meter, m.month,
       CASE WHEN m.aggregation = 'min' THEN min(g.reading) ELSE sum(g.reading) END AS reading,
       max(g.read_at) AS read_at
  FROM (SELECT DISTINCT g.tenant, g.meter, date_trunc('month', g.first_date::timestamp) AS month,
               coalesce(r.aggregation, 'latest') AS aggregation
          FROM tally.gauge_total g LEFT JOIN tally.meter r ON r.slug = g.meter WHERE g.span = 'month') m
 CROSS JOIN LATERAL (
       SELECT DISTINCT ON (g.dimensions) g.reading, g.read_at
         FROM tally.gauge_total g
        WHERE g.tenant = m.tenant AND g.meter = m.meter AND g.span = 'month'
          AND g.first_date < m.month + interval '1 month'
          AND (m.aggregation = 'latest' OR g.first_date >= m.month)
        ORDER BY g.dimensions, g.first_date DESC, g.read_at DESC, g.tiebreak DESC) g
  LEFT JOIN tally.tenant t ON t.tenant = m.tenant
 GROUP BY 1, 2, 3, 4, 5, m.aggregation;
COMMENT ON VIEW finance.gauge_by_month IS
  'Gauges of each month that has a reading: latest is the sum over dimensions of each one''s last reading up to the '
  'month''s end, max the sum of each one''s largest of the month, min the smallest. Never add gauges over months.';

CREATE VIEW finance.gauge_by_period AS
SELECT g.tenant, t.name AS tenant_name, g.meter, g.span_start AS period_start, g.span_end AS period_end,
       CASE WHEN m.aggregation = 'min' THEN min(g.reading) ELSE sum(g.reading) END AS reading,
       max(g.read_at) AS read_at
  FROM tally.gauge_total g
  LEFT JOIN tally.tenant t ON t.tenant = g.tenant
  LEFT JOIN tally.meter m ON m.slug = g.meter
 WHERE g.span = 'period'
 GROUP BY 1, 2, 3, 4, 5, m.aggregation;
COMMENT ON VIEW finance.gauge_by_period IS
  'Gauges of each billing period in which there was a reading, as gauge_by_day.';

CREATE VIEW finance.unique_counts AS
SELECT u.tenant, t.name AS tenant_name, t.tenant IS NOT NULL AS tenant_known, u.meter, u.span, u.span_start,
       u.span_end, u.first_date, u.dimensions::jsonb AS dimensions, u.members AS unique_count, u.events
  FROM tally.unique_set u LEFT JOIN tally.tenant t ON t.tenant = u.tenant;
COMMENT ON VIEW finance.unique_counts IS
  'How many different values: per window and dimensions, and per day, month and billing period over all dimensions. '
  'Never add unique counts: the spans have values in common.';

CREATE VIEW finance.dimension_overflow AS
SELECT d.tenant, t.name AS tenant_name, d.meter, d.month, d.combinations, d.overflow_events
  FROM tally.dimension_month d LEFT JOIN tally.tenant t ON t.tenant = d.tenant
 WHERE d.overflow_events > 0;
COMMENT ON VIEW finance.dimension_overflow IS
  'Tenants and meters with more combinations of dimensions in a month (UTC) than the limit: the events of further '
  'ones are counted, but under the dimensions {"*":"overflow"}.';

CREATE OR REPLACE VIEW finance.unknown_tenants AS
SELECT u.tenant, sum(u.events) AS events, min(u.first_window) AS first_window, max(u.last_window) AS last_window
  FROM (SELECT tenant, sum(events) AS events, min(window_start) AS first_window, max(window_start) AS last_window
          FROM tally.usage_window GROUP BY tenant
        UNION ALL
        SELECT tenant, sum(events), min(window_start), max(window_start) FROM tally.gauge_window GROUP BY tenant
        UNION ALL
        SELECT tenant, sum(events), min(span_start), max(span_start) FROM tally.unique_set WHERE span = 'window'
         GROUP BY tenant) u
 WHERE NOT EXISTS (SELECT FROM tally.tenant t WHERE t.tenant = u.tenant)
 GROUP BY u.tenant;

COMMENT ON VIEW finance.usage_by_hour IS
  'Counters (sum, count) as they are stored: one row per tenant, meter, window and dimensions. They add up. Windows '
  'are minutes, hours, quarter hours or days, cut at the edges of the tenant''s days and billing periods.';

GRANT SELECT ON finance.usage_by_period, finance.gauge_by_period, finance.unique_counts, finance.dimension_overflow
   TO tally_finance;
