-- Readers: finance.

-- Dimensions are added up as they are stored and read as JSON once for each sum: a tenant's month of hours has
-- thousands of rows and some dozen combinations. A function and not a view, so that the days become a range of
-- window_start and nothing else of the tenant is read.
CREATE FUNCTION finance.usage_by_day_and_dimension(tenant text, meter text, first_day date, last_day date)
RETURNS TABLE (day date, dimensions jsonb, quantity numeric, events bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT s.day, s.dimensions::jsonb, s.quantity, s.events::bigint
    FROM (SELECT (w.window_start AT TIME ZONE z.zone)::date AS day, w.dimensions,
                 sum(w.quantity) AS quantity, sum(w.events) AS events
            FROM (SELECT coalesce((SELECT t.time_zone FROM tally.tenant t WHERE t.tenant = $1), 'UTC') AS zone) z,
                 tally.usage_window w
           WHERE w.tenant = $1 AND w.meter = $2
             -- The date decides; a local midnight may come twice, and no date is further than two days from UTC's.
             AND w.window_start >= ($3 - 2)::timestamp AT TIME ZONE 'UTC'
             AND w.window_start < ($4 + 3)::timestamp AT TIME ZONE 'UTC'
             AND (w.window_start AT TIME ZONE z.zone)::date BETWEEN $3 AND $4
           GROUP BY 1, 2) s
   ORDER BY s.day, s.dimensions
$$;
COMMENT ON FUNCTION finance.usage_by_day_and_dimension(text, text, date, date) IS
  'Counters of one tenant and meter per day of the tenant''s time zone and dimensions (for example per model), both '
  'days included; sums to usage_by_day.';
REVOKE ALL ON FUNCTION finance.usage_by_day_and_dimension(text, text, date, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION finance.usage_by_day_and_dimension(text, text, date, date) TO tally_finance;
