"""What a run was, as figures for machines and a table for people."""

import glob
import json
import os
from collections import Counter


def aggregator_events(directory):
    """Counts over every log of the run; lines that are no JSON are the last words of a killed one."""
    found = Counter()
    for path in glob.glob(os.path.join(directory, "aggregators", "log-*")):
        found["aggregator processes"] += 1
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                try:
                    event = json.loads(line)
                except ValueError:
                    continue
                name = event.get("event")
                if name == "session_open":
                    found["sessions"] += 1
                elif name == "commit_resolved":
                    found[f"commits in doubt, {event.get('outcome')}"] += 1
                elif name == "partition_acquired":
                    found["partitions acquired"] += 1
                elif name == "session_ended" and "fenced" in event.get("reason", ""):
                    found["commits fenced"] += 1
                elif name == "session_failed":
                    found["sessions failed"] += 1
    return found


def figures_of(drill):
    world = drill.world
    classes = sum((Counter(row) for row in drill.logged.classes.values()), Counter())
    return {
        "seed": drill.options.seed,
        "event_time_base": drill.options.base.isoformat(),
        "storm_seconds": drill.options.seconds,
        "run_seconds": round(drill.elapsed(), 1),
        "faults": sum(drill.faults.values()),
        "faults_by_kind": dict(sorted(drill.faults.items())),
        "records_in_log": sum(classes.values()),
        "records_acked": drill.promised.records,
        "identities_counted": len(drill.promised.counted),
        "classes": dict(sorted(classes.items())),
        "producer_restarts": world.counters["producer restarts"],
        "aggregators": dict(sorted(aggregator_events(drill.options.dir).items())),
        "longest_stall_seconds": round(world.watch.longest_gap_s, 1) if world.watch else None,
        "longest_heal_seconds": round(world.watch.longest_heal_s, 1) if world.watch else None,
        "recovery_seconds": drill.recovery_s,
        "differences": len(drill.differences),
    }


def write_figures(path, figures):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(figures, file, indent=2)
        file.write("\n")
    os.replace(path + ".new", path)


def print_table(figures):
    print()
    for name, value in figures.items():
        if not isinstance(value, dict):
            print(f"  {name.replace('_', ' '):24} {value if value is not None else '-':>12}")
            continue
        for inner, count in value.items():
            print(f"    {inner:38} {count:>10,}")
    print()


def print_differences(differences, limit=10):
    print(f"\n{len(differences)} differences" + (f", the first {limit}:" if len(differences) > limit
                                                else ":"))
    for row in differences[:limit]:
        print(f"  {row.check:40} {row.place:60} expected {row.expected}  stored {row.stored}")
