"""What becomes of what was measured: percentiles, values between two looks, figures held against their bars."""

import bisect
import math
from typing import NamedTuple


def between(pairs, x):
    """y at x, of rising (x, y) pairs, on straight lines between them."""
    place = min(max(bisect.bisect_left(pairs, (x,)), 1), len(pairs) - 1)
    (x0, y0), (x1, y1) = pairs[place - 1], pairs[place]
    return y0 + (y1 - y0) * (x - x0) / (x1 - x0) if x1 > x0 else y1


def print_table(rows):
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    print()
    for row in rows:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print(("  " + "  ".join(cells)).rstrip())


def percentile(ordered, share):
    """The smallest value that at least this share of them does not exceed; of a sorted list."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Figure(NamedTuple):
    what: str
    bar: float
    measured: float
    unit: str
    digits: int
    least: bool = False  # the bar is a floor and not a ceiling

    def held(self):
        return self.measured >= self.bar if self.least else self.measured <= self.bar


def judge(figures, judged=True):
    """Prints each figure beside its bar; which were missed, and all of them for the JSON. `judged` False: the run was
    too small for the bars."""
    rows, missed, out = [("figure", "bar", "measured", "")], [], []
    for figure in figures:
        if judged and not figure.held():
            missed.append(figure.what)
        verdict = ("held" if figure.held() else "MISSED") if judged else "not judged"
        rows.append((figure.what, f"at {'least' if figure.least else 'most'} {figure.bar:,} {figure.unit}".rstrip(),
                     f"{figure.measured:,.{figure.digits}f} {figure.unit}".rstrip(), verdict))
        out.append({"figure": figure.what, "bar": figure.bar, "bar_is": "floor" if figure.least else "ceiling",
                    "measured": figure.measured, "unit": figure.unit, "held": figure.held() if judged else None})
    print_table(rows)
    return missed, out


def conclude(bench, wrong, missed, not_judged=None):
    """The last line and the exit code. `not_judged`: why the bars do not apply."""
    if wrong:
        print(f"\nbench {bench}: the run is wrong: {wrong[0]}.")
        return 1
    if missed:
        print(f"\nbench {bench}: totals exact, but missed: {'; '.join(missed)}.")
        return 1
    if not_judged:
        print(f"\nbench {bench}: totals exact; {not_judged}.")
    else:
        print(f"\nbench {bench}: every figure is held, with exact totals.")
    return 0
