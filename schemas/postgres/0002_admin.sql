-- Writer: admin (tally-admin). The catalogue: what is metered, what it costs, for whom.

-- One row. Every change of the catalogue raises the version; commits check it FOR SHARE.
CREATE TABLE tally.catalogue_version (
  only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  version    bigint NOT NULL,
  changed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO tally.catalogue_version (version) VALUES (0);

CREATE TABLE tally.meter (
  slug          text PRIMARY KEY,
  event_type    text NOT NULL,
  aggregation   text NOT NULL,
  definition    text NOT NULL,      -- canonical JSON (core/catalogue.h), what services load
  stripe_event_name text UNIQUE,
  stripe_multiplier numeric,
  stripe_decimals   integer,
  stripe_rounding   text,
  unit_cost     numeric,
  created_version bigint NOT NULL
);

CREATE TABLE tally.plan (
  slug       text PRIMARY KEY,
  name       text NOT NULL,
  definition text NOT NULL
);

CREATE TABLE tally.tenant (
  tenant          text COLLATE "C" PRIMARY KEY,
  name            text NOT NULL,
  time_zone       text NOT NULL DEFAULT 'UTC',
  plan            text REFERENCES tally.plan,
  status          text NOT NULL DEFAULT 'active'
                  CHECK (status IN ('active', 'trialing', 'past_due', 'canceled')),
  stripe_customer text UNIQUE,
  created_at      timestamptz NOT NULL DEFAULT now()
);
