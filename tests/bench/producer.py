"""Measures the producer's parts, each beside what it stands on in the same run. Called by producer.sh.

A part is a function of the arguments that gives (figures, what it found, what is wrong). It stands in PARTS under
its name, which is what --part takes and what its figures are called in the JSON.
"""

import sys

from figures import conclude, judge
from producer_http import measure_http
from producer_library import measure_library
from stand import parse_arguments, write_json

PARTS = {"library": measure_library, "http": measure_http}


def main():
    arguments = parse_arguments(["seconds", "records", "rounds"], {"part": ["all", *PARTS]})
    missed, wrong, content = [], [], {}
    for name, measure in PARTS.items():
        if arguments.part not in ("all", name):
            continue
        figures, found, problems = measure(arguments)
        missed_here, judged = judge(figures)
        missed += missed_here
        wrong += problems
        content[name] = {"figures": judged, **found}
    write_json(arguments, content)
    return conclude("producer", wrong, missed)


if __name__ == "__main__":
    sys.exit(main())
