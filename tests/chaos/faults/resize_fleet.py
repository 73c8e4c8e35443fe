"""One aggregator more, or one fewer; never fewer than one."""

NAME = "resize the fleet"
LANE = "fleet"
HOLD_S = (0, 0)


def inject(world, rng):
    running, resting = world.fleet.running(), world.fleet.resting()
    if resting and (len(running) == 1 or rng.random() < 0.5):
        resting[0].start(rng)
        return f"{resting[0].name} joins, {len(running) + 1} run"
    slot = rng.choice(running)
    slot.drain()
    return f"{slot.name} leaves, {len(running) - 1} run"


def heal(world, rng, state):
    pass
