"""The producer dies by SIGKILL in the middle of what it sends; the next one sends again what was in doubt."""

NAME = "SIGKILL the producer"
LANE = "world"
HOLD_S = (0, 2)


def inject(world, rng):
    world.producer.kill()
    world.producer.wait(30)


def heal(world, rng, state):
    world.counters["producer restarts"] += 1
    world.start_producer()
