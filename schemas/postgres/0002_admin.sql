-- Writer: admin (tally-admin). The catalogue: what is metered, what it costs, for whom.

-- One row. Every change of the catalogue raises the version; commits check it FOR SHARE.
CREATE TABLE tally.catalogue_version (
  only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version    bigint NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tally.catalogue_version (version) VALUES (0);

CREATE TABLE tally.meter (
  slug          text COLLATE "C" PRIMARY KEY,
  event_type    text NOT NULL,
  aggregation   text NOT NULL CHECK (aggregation IN ('sum', 'count', 'max', 'min', 'latest', 'unique_count')),
  definition    text NOT NULL,                -- canonical JSON (core/catalogue.h): what services load
  -- Taken out of `definition`, for SQL to join on. Deferred: a change may swap names between meters.
  stripe_event_name text UNIQUE DEFERRABLE INITIALLY DEFERRED,
  stripe_multiplier numeric,                  -- tally's units x multiplier = Stripe's units
  stripe_decimals   integer,
  stripe_rounding   text CHECK (stripe_rounding IN ('down', 'up', 'half_up', 'half_even')),
  unit_cost     numeric,                      -- what one unit costs us, in the currency of the books
  created_version bigint NOT NULL             -- the catalogue's version that brought this definition
);

CREATE TABLE tally.plan (
  slug       text COLLATE "C" PRIMARY KEY,
  name       text NOT NULL,
  definition text NOT NULL                    -- canonical JSON
);

CREATE TABLE tally.tenant (
  tenant          text COLLATE "C" PRIMARY KEY CHECK (octet_length(tenant) BETWEEN 1 AND 128),
  name            text NOT NULL,
  -- AT TIME ZONE raises for an unknown zone: a bad one could make every view of finance fail.
  time_zone       text NOT NULL DEFAULT 'UTC'
                  CHECK ((timestamptz '2000-01-01 00:00:00+00' AT TIME ZONE time_zone) IS NOT NULL),
  plan            text COLLATE "C" REFERENCES tally.plan,
  status          text NOT NULL DEFAULT 'active'
                  CHECK (status IN ('active', 'trialing', 'past_due', 'canceled')),
  stripe_customer text UNIQUE DEFERRABLE INITIALLY DEFERRED,
  created_at      timestamptz NOT NULL DEFAULT now()
);
