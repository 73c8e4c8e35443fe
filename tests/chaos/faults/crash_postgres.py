"""Immediate shutdown: no checkpoint, every transaction under way is lost; recovery at the start."""

NAME = "crash Postgres"
LANE = "world"
HOLD_S = (0, 6)


def inject(world, rng):
    world.stack.call('as_postgres "$(postgres_bin)/pg_ctl" stop -m immediate -w -t 30 '
                     '-D "$(postgres_home "$dir")/data" && await_exit "$dir" postgres 20')


def heal(world, rng, state):
    world.stack.call('start_postgres "$dir"')
