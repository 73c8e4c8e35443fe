-- Writer: exporter. What was planned for Stripe, what became of it, and every attempt (promise P5).

-- Where one tenant, meter and period stands; changed only in the transaction that changes its outbox rows.
CREATE TABLE tally.export_period (
  tenant           text COLLATE "C" NOT NULL,
  meter            text COLLATE "C" NOT NULL,
  period_start     timestamptz NOT NULL,
  period_end       timestamptz NOT NULL,
  planned          numeric NOT NULL DEFAULT 0,  -- sum meters: the values of all rows that are not rejected
  stated           numeric,                     -- last meters: the newest value that is not rejected
  revision         bigint  NOT NULL DEFAULT 0,  -- rows ever born; a part of their identifiers
  last_event_time  timestamptz,                 -- the newest minute that was used
  rejections       integer NOT NULL DEFAULT 0,  -- since the last delivery
  last_rejected_at timestamptz,
  hold_reason      text,                        -- why nothing is planned; NULL: nothing in the way
  updated_at       timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (tenant, meter, period_start),
  CHECK (period_end > period_start)
) WITH (fillfactor = 70);

-- One row is one Stripe meter event. Everything that is sent is fixed when the row is born, except that
-- a stored 500 gets a new idempotency_key. States:
--   planned    not sent, or every send is known not to have arrived
--   sending    committed before the request: the outcome may be unknown
--   delivered  Stripe answered 200, or that it knows the identifier already
--   rejected   Stripe refused it for good; its value is planned anew
--   uncertain  first sent 23 h ago and still unknown: never resent, counts as planned, blocks its series
--   held       put aside by a rule or a person: never resent, counts as planned, does not block its series
CREATE TABLE tally.outbox (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  stripe_customer text NOT NULL,
  tenant          text COLLATE "C" NOT NULL,
  meter           text COLLATE "C" NOT NULL,
  event_name      text NOT NULL CHECK (octet_length(event_name) BETWEEN 1 AND 100),
  formula         text NOT NULL CHECK (formula IN ('sum', 'last')),
  period_start    timestamptz NOT NULL,
  period_end      timestamptz NOT NULL,
  quantity        numeric NOT NULL,             -- tally's units: value / multiplier
  value           text NOT NULL CHECK (value ~ '^-?[0-9]+(\.[0-9]+)?$' AND octet_length(value) <= 100),
  event_time      timestamptz NOT NULL CHECK (extract(epoch FROM event_time)::bigint % 60 = 0),
  identifier      text NOT NULL UNIQUE CHECK (octet_length(identifier) BETWEEN 1 AND 100),
  idempotency_key text NOT NULL UNIQUE CHECK (octet_length(idempotency_key) BETWEEN 1 AND 255),
  state           text NOT NULL DEFAULT 'planned'
                  CHECK (state IN ('planned', 'sending', 'delivered', 'rejected', 'uncertain', 'held')),
  reason          text,
  created_at      timestamptz NOT NULL,
  first_sent_at   timestamptz,
  delivered_at    timestamptz,
  attempts        integer NOT NULL DEFAULT 0,
  key_number      integer NOT NULL DEFAULT 1,   -- raised with each new idempotency_key
  FOREIGN KEY (tenant, meter, period_start) REFERENCES tally.export_period,
  CHECK (event_time >= period_start AND event_time + interval '1 minute' <= period_end),
  CHECK (state <> 'delivered' OR delivered_at IS NOT NULL),
  CHECK (state <> 'sending' OR first_sent_at IS NOT NULL),
  -- One event per customer, event name and minute: a minute's summary then answers for one row.
  UNIQUE (stripe_customer, event_name, event_time)
) WITH (fillfactor = 70);
-- A second open row of one customer and meter cannot be.
CREATE UNIQUE INDEX outbox_one_open ON tally.outbox (stripe_customer, meter)
  WHERE state IN ('planned', 'sending', 'uncertain');
CREATE INDEX outbox_not_final ON tally.outbox (id) WHERE state IN ('planned', 'sending', 'uncertain', 'held');
CREATE INDEX outbox_by_period ON tally.outbox (tenant, meter, period_start, event_time);

CREATE TABLE tally.export_attempt (
  outbox_id   bigint  NOT NULL REFERENCES tally.outbox ON DELETE CASCADE,
  attempt     integer NOT NULL CHECK (attempt > 0),
  started_at  timestamptz NOT NULL,
  outcome     text    NOT NULL CHECK (outcome IN ('delivered', 'duplicate', 'rejected', 'retry', 'unknown',
                                                  'not_sent', 'stopped', 'uncertain', 'held')),
  http_status integer,                          -- NULL: no answer
  request_id  text,                             -- Stripe's Request-Id
  detail      text,
  PRIMARY KEY (outbox_id, attempt)
);
