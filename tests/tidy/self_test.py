"""Each house rule can fail: a tree that breaks it is reported, one that keeps it is not."""

import unittest

import rules
from tree import ROOMS, Tree

PAGE = "# Room\n" + "".join(f"## {heading}\n" for heading in rules.HEADINGS)
TOPIC = '{"name": "t", "partitions": 4, "config": {"retention.ms": "5"}}'
EXCERPT = "<!-- excerpt of a.py -->\n```python\nx = {\n    1}\n```\n"
COMPOSE = "--topic t --partitions 4 --config retention.ms=5"

# rule -> (files that keep it, files that break it), compile commands last when they matter.
CASES = {
    "layering": [
        ({"exporter/a.cc": '#include "core/x.h"\n#include "runtime/http/y.h"\n'},
         {"exporter/a.cc": '#include "aggregator/fold.h"\n'}),
        ({"runtime/a.cc": '#include "core/x.h"\n'}, {"runtime/a.cc": '#include "admin/x.h"\n'}),
        ({"core/a.cc": '#include "core/x.h"\n'}, {"core/a.cc": '#include "runtime/log/log.h"\n'}),
    ],
    "vendors_stay_in_runtime": [
        ({"runtime/kafka/a.cc": "#include <librdkafka/rdkafka.h>\n"},
         {"runtime/kafka/a.h": "#include <librdkafka/rdkafka.h>\n"}),
        ({"core/a.cc": "#include <fmt/core.h>\n"},
         {"aggregator/a.cc": "#include <pqxx/pqxx>\n"}),
    ],
    "independent_oracles": [
        ({"tests/support/generator/a.cc": '#include "runtime/kafka/p.h"\n'},
         {"tests/support/generator/a.cc": '#include "core/decimal.h"\n'}),
    ],
    "sizes": [
        ({"core/a.cc": "x\n" * 500}, {"core/a.cc": "x\n" * 501}),
        ({"core/a.h": "x" * 100 + "\n"}, {"core/a.h": "x" * 101 + "\n"}),
    ],
    "banned_words": [
        ({"core/a.cc": 'static_assert(1); // assert(x)\n'}, {"core/a.cc": "assert(x);\n"}),
        ({"tests/a.cc": "random();\n"}, {"tests/a.cc": "int x = std::rand();\n"}),
        ({"runtime/a.cc": "sleep_for(x);\n"}, {"tests/a.cc": "sleep_for(x);\n"}),
        ({"tests/a.cc": "while (!done())\n  sleep_for(x);\n"},
         {"tests/a.cc": "while (!done())\n  look();\nsleep_for(x);\n"}),
        ({"runtime/a.cc": "double x;\n", "core/b.cc": 'f("double");\n'},
         {"core/a.cc": "double x;\n"}),
        ({"aggregator/probe.cc": "double x;\n"}, {"exporter/a.h": "float x;\n"}),
    ],
    "nothing_left_to_do": [({"core/a.cc": "todos\n"}, {"core/a.cc": "// TO" + "DO: x\n"})],
    "one_title_per_page": [
        ({"a.md": "# A\n```\n# no title\n```\n"}, {"a.md": "# A\n\n# B\n"}),
        ({"a.md": "# A\n## B\n"}, {"a.md": "## B\n"}),
    ],
    "excerpts_are_true": [
        ({"docs/producing.md": EXCERPT, "a.py": "def f():\n    x = {\n        1}\n    g()\n"},
         {"docs/producing.md": EXCERPT, "a.py": "def f():\n    x = {\n        2}\n    g()\n"}),
        ({"docs/producing.md": EXCERPT, "a.py": "x = {\n    1}\n"}, {"docs/producing.md": EXCERPT}),
        ({"docs/producing.md": EXCERPT, "a.py": "x = {\n    1}\n"},
         {"docs/producing.md": EXCERPT.split("\n", 1)[1], "a.py": "x = {\n    1}\n"}),
        ({"docs/producing.md": "```cpp\nx\n```\n"}, {"docs/producing.md": "```sh\nx\n```\n\n```go\nx\n```\n"}),
    ],
    "links_resolve": [
        ({"d/a.md": "[x](b.md#part) [y](../d) [z](https://a.b)", "d/b.md": ""},
         {"d/a.md": "[x](c.md)"}),
    ],
    "invariants_point_to_files": [
        ({"docs/INVARIANTS.md": "`core/a.cc`, `tests/unit`", "core/a.cc": "", "tests/unit/b": ""},
         {"docs/INVARIANTS.md": "`core/gone.cc`"}),
    ],
    "rooms_are_described": [
        ({f"{room}/README.md": PAGE for room in ROOMS},
         {f"{room}/README.md": PAGE.replace("## Promise\n", "") for room in ROOMS}),
    ],
    "compose_agrees_with_the_topic": [
        ({"schemas/topics/usage.events.json": TOPIC, "compose.yaml": COMPOSE},
         {"schemas/topics/usage.events.json": TOPIC,
          "compose.yaml": COMPOSE.replace("partitions 4", "partitions 3")}),
    ],
}


class EveryRuleCanFail(unittest.TestCase):
    def test_cases(self):
        for name, cases in CASES.items():
            for kept, broken in cases:
                with self.subTest(rule=name, broken=list(broken.items())[0]):
                    rule = getattr(rules, name)
                    self.assertEqual(list(rule(Tree(kept))), [])
                    self.assertNotEqual(list(rule(Tree(broken))), [])

    def test_orphans(self):
        files = {"core/a.cc": '#include "core/a.h"\n', "core/a.h": ""}
        rule = rules.every_file_is_built
        self.assertEqual(list(rule(Tree(files, '"/x/core/a.cc"'))), [])
        self.assertEqual(list(rule(Tree(files, ""))), ["core/a.cc is built by no target"])
        files["core/lonely.h"] = ""
        self.assertEqual(list(rule(Tree(files, '"/x/core/a.cc"'))),
                         ["core/lonely.h is included by nobody"])

    def test_no_rule_is_left_out(self):
        tested = set(CASES) | {"every_file_is_built"}
        self.assertEqual(tested, {rule.__name__ for rule in rules.RULES})


if __name__ == "__main__":
    unittest.main()
