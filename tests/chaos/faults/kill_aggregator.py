"""SIGKILL. Without static membership the group notices only after its session timeout."""

NAME = "SIGKILL an aggregator"
LANE = "fleet"
HOLD_S = (0, 8)


def inject(world, rng):
    slot = world.fleet.pick(rng)
    slot.kill()
    return slot


def heal(world, rng, slot):
    slot.start(rng)
