"""SIGTERM: a restart as a deployment does it."""

NAME = "SIGTERM an aggregator"
LANE = "fleet"
HOLD_S = (0, 3)


def inject(world, rng):
    slot = world.fleet.pick(rng)
    slot.drain()
    return slot


def heal(world, rng, slot):
    slot.start(rng)
