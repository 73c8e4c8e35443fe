"""SIGSTOP, often for longer than the session timeout of 10 s: its partitions move, and it wakes up a zombie."""

import signal

NAME = "SIGSTOP an aggregator"
LANE = "fleet"
HOLD_S = (1, 14)


def inject(world, rng):
    slot = world.fleet.pick(rng)
    slot.signal(signal.SIGSTOP)
    return slot


def heal(world, rng, slot):
    slot.signal(signal.SIGCONT)
