"""Faults, one a file: NAME, LANE ("fleet" or "world"), HOLD_S (how long it lasts, from the seed), inject(world,
rng) -> what heal needs, heal(world, rng, state). heal leaves everything running again. A fault that is not
always possible has possible(world) too."""

import importlib
import os
import pkgutil


def of_lane(lane, only=()):
    """The kinds of a lane; `only` names files, none of them means all."""
    found = [importlib.import_module(f"faults.{module.name}")
             for module in sorted(pkgutil.iter_modules([os.path.dirname(__file__)]),
                                  key=lambda module: module.name)]
    names = {kind.__name__.split(".")[1] for kind in found}
    if not names.issuperset(only):
        raise ValueError(f"--faults: {sorted(set(only) - names)} is none of {sorted(names)}")
    return [kind for kind in found
            if kind.LANE == lane and (not only or kind.__name__.split(".")[1] in only)]


def is_possible(kind, world):
    return not hasattr(kind, "possible") or kind.possible(world)
