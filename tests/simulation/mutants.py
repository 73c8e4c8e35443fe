"""./dev sim --mutants: shows that the simulation finds bugs.

Each patch in mutants/ puts one bug into the shipped code. It is applied to a copy of the tree, built and
run until a schedule, a test or an assertion fails. A patch that no longer applies is red, and so is a mutant
that nobody catches, or one whose catcher fails on the code as it is. The first lines of a patch, before its
diff, say in words what it breaks and name who must see it: `Seen by: simulation`, `exporter_simulation`,
`conformance`, `golden` or one of the unit tests' programs, such as `unit_aggregator`.

  mutants.py ROOT [NAME…]    NAME: part of a patch's file name
"""

import os
import re
import shutil
import subprocess
import sys
import time

SCHEDULES = 5000
BUILD_SECONDS = 1800
RUN_SECONDS = 600


class Copy:
    """The tree as it stands, in a folder of its own, with a build folder beside it."""

    def __init__(self, root):
        self.tree = os.path.join(root, "build", "mutants", "tree")
        self.build = os.path.join(root, "build", "mutants", "build")
        self.root = root

    def refresh(self):
        listed = subprocess.run(
            ["git", "-C", self.root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, capture_output=True, text=True).stdout.split("\0")
        wanted = {name for name in listed if name and os.path.isfile(os.path.join(self.root, name))}
        for folder, _, names in os.walk(self.tree):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.relpath(path, self.tree) not in wanted:
                    os.remove(path)
        for name in wanted:
            self.copy(name)

    def copy(self, name):
        source, target = os.path.join(self.root, name), os.path.join(self.tree, name)
        if os.path.exists(target):
            with open(source, "rb") as one, open(target, "rb") as other:
                if one.read() == other.read():
                    return  # an untouched file is not compiled again
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copy(source, target)

    def configure(self):
        subprocess.run(
            ["cmake", "-S", self.tree, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
             "-DCMAKE_CXX_FLAGS_RELEASE=-O1", "-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"],
            check=True, capture_output=True, text=True)

    def make(self, target):
        return subprocess.run(["cmake", "--build", self.build, "--target", target], text=True,
                              capture_output=True, timeout=BUILD_SECONDS)

    def apply(self, patch, *options):
        return subprocess.run(["git", "apply", "-p1", *options, patch], cwd=self.tree, text=True,
                              capture_output=True, env={**os.environ, "GIT_CEILING_DIRECTORIES":
                                                        os.path.dirname(self.tree)})


def run_simulation(program):
    def run(copy):
        """The seed that failed, or None."""
        done = run_program(copy, program, "--seeds", str(SCHEDULES), "--quiet", "--stop-at-first")
        found = re.search(r"^seed (\d+): (.*?);? replay:", done.stdout, re.M)
        if found:
            return f"seed {found[1]}: {found[2]}"
        return assertion(done)
    return run


def run_unit(name):
    def run(copy):
        """The first test that failed, or None."""
        done = run_program(copy, name)
        found = re.search(r"^\[  FAILED  \] (\S+)", done.stdout, re.M)
        if found or done.returncode == 0:
            return found and found[1].rstrip(",")
        begun = re.findall(r"^\[ RUN      \] (\S+)", done.stdout, re.M)
        return assertion(done) or f"ends in {begun[-1] if begun else 'its start'}"
    return run


def run_golden(copy):
    """The first case that failed, or None."""
    cases = os.path.join(copy.tree, "tests", "golden", "cases")
    for name in sorted(os.listdir(cases)):
        if name.endswith(".txt"):
            done = run_program(copy, "tally-golden", os.path.join(cases, name), "--variant", "straight")
            if done.returncode != 0:
                return f"golden: {name}"
    return None


def run_program(copy, name, *arguments):
    try:
        return subprocess.run([os.path.join(copy.build, "bin", name), *arguments], text=True,
                              capture_output=True, timeout=RUN_SECONDS, errors="replace")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(name, 1, "", "")


def assertion(done):
    """The CHECK that stopped the program, or None."""
    found = re.search(r"CHECK failed.*", done.stderr)
    return found[0] if done.returncode < 0 and found else None


def run_conformance(copy):
    """The first test that failed, or None."""
    done = subprocess.run(["ctest", "--test-dir", copy.build, "-R", "^conformance", "--stop-on-failure"],
                          text=True, capture_output=True, timeout=RUN_SECONDS, errors="replace")
    found = re.search(r"^\s*\d+ - (conformance\.\S+).*\(\w+\)$", done.stdout, re.M)
    if not found and done.returncode != 0:
        raise RuntimeError("the conformance suite did not run:\n" + done.stdout[-2000:])
    return found[1] if found else None


def stop_stack(copy):
    """A conformance suite that stops at its first failure leaves its Kafka and Postgres behind."""
    subprocess.run(["ctest", "--test-dir", copy.build, "-R", r"^stack\.stop$", "-FA", ".*"],
                   capture_output=True, timeout=RUN_SECONDS)


SEEN_BY = {"simulation": ("tally-simulation", run_simulation("tally-simulation")),
           "exporter_simulation": ("tally-exporter-simulation", run_simulation("tally-exporter-simulation")),
           "conformance": ("conformance_postgres", run_conformance),
           "golden": ("tally-golden", run_golden),
           **{name: (name, run_unit(name)) for name in
              ("unit_core", "unit_aggregator", "unit_aggregator_dedup", "unit_exporter", "unit_kafka",
               "unit_load", "unit_producer", "unit_producer_client", "unit_serve", "unit_spool", "unit_admin")}}


def catcher_of(patch):
    with open(patch, encoding="utf-8") as file:
        named = re.search(r"^Seen by: (\w+)", file.read(), re.M)
    return named[1] if named else None


def judge(copy, patch):
    """(whether it was caught, by what)"""
    catcher = catcher_of(patch)
    if catcher not in SEEN_BY:
        return False, "the patch does not say who must see it"
    target, run = SEEN_BY[catcher]
    applied = copy.apply(patch)
    if applied.returncode != 0:
        return False, "no longer applies: " + applied.stderr.strip().split("\n")[0]
    try:
        built = copy.make(target)
        if built.returncode != 0:
            return False, "does not compile"
        caught = run(copy)
        return caught is not None, caught or "survived"
    finally:
        copy.apply(patch, "-R")


def main():
    root, names = os.path.abspath(sys.argv[1]), sys.argv[2:]
    folder = os.path.join(root, "tests", "simulation", "mutants")
    patches = [os.path.join(folder, name) for name in sorted(os.listdir(folder))
               if name.endswith(".patch") and (not names or any(part in name for part in names))]
    if not patches:
        print("no such mutant")
        return 1
    copy = Copy(root)
    copy.refresh()
    copy.configure()
    for catcher in sorted({catcher_of(patch) for patch in patches} & SEEN_BY.keys()):
        target, run = SEEN_BY[catcher]
        built = copy.make(target)
        if built.returncode != 0:
            print(built.stdout[-3000:])
            print(f"the code as it is does not compile ({target})")
            return 1
        started = time.monotonic()
        if (trouble := run(copy)) is not None:
            print(f"the code as it is fails already: {trouble}")
            return 1
        print(f"{catcher:<40} healthy {time.monotonic() - started:6.0f} s", flush=True)
    failed = 0
    try:
        for patch in patches:
            started = time.monotonic()
            caught, by = judge(copy, patch)
            failed += not caught
            name = os.path.basename(patch).removesuffix(".patch")
            print(f"{name:<40} {'caught' if caught else 'RED':<7} {time.monotonic() - started:6.0f} s  {by}",
                  flush=True)
    finally:
        stop_stack(copy)
    print(f"{len(patches)} mutants, {len(patches) - failed} caught, {failed} not")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
