"""tidy.py RULE ROOT COMPILE_COMMANDS: one house rule over the repository, one line per violation.
tidy.py --list: the names of the rules."""

import sys

from rules import RULES
from tree import Tree


def main():
    if sys.argv[1:] == ["--list"]:
        print("\n".join(rule.__name__ for rule in RULES))
        return 0
    name, root, compile_commands = sys.argv[1:]
    rule = {rule.__name__: rule for rule in RULES}[name]
    violations = list(rule(Tree.of(root, compile_commands)))
    for violation in violations:
        print(violation)
    print(f"{name}: {len(violations)} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
