"""Stacks as perf tells them, written by hand, and what is drawn of them."""

import tempfile
import unittest
import xml.dom.minidom

from flame import boxes, fold, innermost, shares_table, shortened, write_flames

TOLD = """tally-aggregato
\t    1c2b tally::aggregator::Fold::add(std::span<tally::Record const>) (/b/tally-aggregator)
\t    1a00 [unknown] (/usr/lib/librdkafka.so.1)
\t    1b00 [unknown] (/usr/lib/librdkafka.so.1)
\t    1234 main (/b/tally-aggregator)

tally-aggregato
\t    1234 main (/b/tally-aggregator)

rdk:broker1
\t    9999 __libc_malloc@@GLIBC_2.2.5 (/usr/lib/libc.so.6)
"""
MAIN = ("tally-aggregato", "main")
ADD = (*MAIN, "[librdkafka.so.1]", "tally::aggregator::Fold::add")


class Folding(unittest.TestCase):
    def test_names_are_told_without_parameters_templates_and_versions(self):
        for symbol, name in (("void tally::(anonymous namespace)::f<int, (x)1>(int) const", "tally::f"),
                             ("std::ostream& std::operator<< <std::char_traits<char> >(int)", "std::operator<<"),
                             ("a::{lambda(int)#1}::operator()(int) const", "a::{lambda#1}::operator()"),
                             ("operator new(unsigned long)", "operator new"), ("free.part.0.isra.1", "free"),
                             ("cfree@GLIBC_2.2.5", "cfree"), ("f(int) [clone .cold]", "f")):
            self.assertEqual(shortened(symbol), name)

    def test_each_sample_is_in_one_stack_and_frames_without_a_name_are_one(self):
        self.assertEqual(fold(TOLD.splitlines()), {ADD: 1, MAIN: 1, ("rdk:broker1", "__libc_malloc"): 1})

    def test_shares_are_of_the_innermost_function(self):
        stacks = {ADD: 6, MAIN: 1, ("rdk:broker1", "free"): 2, ("rdk:broker1", "poll", "free"): 1}
        self.assertEqual(innermost(stacks), [(0.6, ADD[0], ADD[-1]), (0.3, "rdk:broker1", "free"),
                                             (0.1, *MAIN)])
        self.assertIn("| 60.0 % | tally-aggregato | `tally::aggregator::Fold::add` |", shares_table(stacks))


class Drawing(unittest.TestCase):
    def test_a_frame_is_as_wide_as_all_that_it_calls(self):
        found = boxes({("t", "a", "b"): 3, ("t", "a"): 1, ("t", "c"): 2, ("u", "c"): 4})
        self.assertEqual(sorted(found), [(0, 0, 6, "t"), (0, 6, 4, "u"), (1, 0, 4, "a"), (1, 4, 2, "c"),
                                         (1, 6, 4, "c"), (2, 1, 3, "b")])

    def test_the_drawing_is_xml_and_leaves_out_what_is_narrower_than_a_pixel(self):
        with tempfile.TemporaryDirectory() as folder:
            write_flames(f"{folder}/a.svg", "a < b", {("t", "operator<"): 9_990, ("t", "thin"): 10, ("u", "thinner"): 1})
            page = xml.dom.minidom.parse(f"{folder}/a.svg")
        titles = [title.firstChild.data for title in page.getElementsByTagName("title")]
        self.assertEqual(sorted(title.partition(":")[0] for title in titles), ["operator<", "t", "thin"])
        widths = {frame.getElementsByTagName("title")[0].firstChild.data.partition(":")[0]:
                  float(frame.getElementsByTagName("rect")[0].getAttribute("width"))
                  for frame in page.getElementsByTagName("g")}
        self.assertAlmostEqual(widths["t"], 1180, 0)


if __name__ == "__main__":
    unittest.main()
