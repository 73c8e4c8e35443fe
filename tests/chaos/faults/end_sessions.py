"""Postgres ends every session of the aggregators, as an operator or a failover would."""

NAME = "terminate Postgres sessions"
LANE = "world"
HOLD_S = (0, 0)


def inject(world, rng):
    for _ in range(rng.randint(1, 3)):
        world.scene.query("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                          f"datname = '{world.scene.name}' AND "
                          "application_name = 'tally-aggregator'")


def heal(world, rng, state):
    pass
