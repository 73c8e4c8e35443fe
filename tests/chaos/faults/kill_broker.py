"""The broker dies by SIGKILL and comes back with what the operating system kept."""

NAME = "SIGKILL the broker"
LANE = "world"
HOLD_S = (0, 4)


def inject(world, rng):
    world.stack.call('signal_process "$dir" kafka KILL; await_exit "$dir" kafka 20')


def heal(world, rng, state):
    world.stack.call('start_kafka "$dir"')
