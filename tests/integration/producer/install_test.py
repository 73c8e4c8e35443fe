"""The programs run where they were installed, and a project outside the tree takes the installed client library, with
CMake and with pkg-config, and records through the real broker. The project is producer/examples, copied away; the tree itself is built with the same files."""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
from support.scene import BIN, BROKERS, create_topic  # noqa: E402

ROOT = os.environ["TALLY_TEST_ROOT"]
BUILD = os.path.dirname(BIN)
PROGRAMS = ["bin/tally-admin", "bin/tally-aggregator", "bin/tally-exporter", "bin/tally-producer"]


def run(*command, folder=None, **environment):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, **environment})
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="tally-install-")
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        run("cmake", "--install", BUILD, "--prefix", f"{cls.folder}/built-for")
        # Installed files are found where they are, not where they were put first.
        cls.prefix = shutil.move(f"{cls.folder}/built-for", f"{cls.folder}/prefix")
        cls.project = shutil.copytree(os.path.join(ROOT, "producer", "examples"), f"{cls.folder}/project")
        cls.topic = f"install.{os.getpid()}"
        create_topic(cls.topic)

    def records(self, program):
        said = run(program, BROKERS, self.topic, "1000")
        self.assertEqual(said, "accepted 1000 delivered 1000 failed 0 dropped 0 left 0\n")

    @staticmethod
    def installed(prefix):
        return sorted(os.path.relpath(os.path.join(at, name), prefix)
                      for at, _, names in os.walk(prefix) for name in names)

    def test_the_programs_run_where_they_were_moved(self):
        self.assertEqual([name for name in self.installed(self.prefix) if name.startswith("bin/")], PROGRAMS)
        for name in PROGRAMS:
            self.assertIn(os.path.basename(name), run(f"{self.prefix}/{name}", "--version"))

    def test_the_library_alone(self):
        run("cmake", "--install", BUILD, "--prefix", f"{self.folder}/library", "--component", "library")
        self.assertEqual(self.installed(f"{self.folder}/library"),
                         [name for name in self.installed(self.prefix) if name not in PROGRAMS])

    def test_only_what_services_need_is_installed(self):
        found = self.installed(self.prefix)
        headers = [name for name in found if name.endswith(".h")]
        self.assertEqual(headers, ["include/tally/usage_client.h"])
        self.assertEqual(len([name for name in found if name.endswith(".a")]), 1, found)
        with open(f"{self.prefix}/{headers[0]}", encoding="utf-8") as file:
            includes = [line.split()[1] for line in file if line.startswith("#include")]
        self.assertTrue(all(name.startswith("<") and "/" not in name for name in includes), includes)
        for name in found:
            if name.endswith((".cmake", ".pc")):
                with open(f"{self.prefix}/{name}", encoding="utf-8") as file:
                    self.assertNotIn(ROOT, file.read(), f"{name} names the tree that it was built in")

    def test_with_cmake(self):
        build = f"{self.folder}/cmake"
        run("cmake", "-S", self.project, "-B", build, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={self.prefix}",
            "-DCMAKE_BUILD_TYPE=Release")
        run("cmake", "--build", build, "-j", "1")
        self.records(f"{build}/example-requests")
        said = run(f"{build}/example-coroutine", BROKERS, self.topic)
        self.assertEqual(said.count("is on every in-sync replica"), 2, said)

    def test_another_version_is_refused(self):
        with open(f"{self.project}/CMakeLists.txt", encoding="utf-8") as file:
            text = file.read()
        newer = f"{self.folder}/newer"
        os.mkdir(newer)
        self.assertIn("find_package(tally 0.1 REQUIRED)", text)
        with open(f"{newer}/CMakeLists.txt", "w", encoding="utf-8") as file:
            file.write(text.replace("find_package(tally 0.1 ", "find_package(tally 7.0 "))
        with self.assertRaisesRegex(AssertionError, "(?s)compatible.*7.0"):
            run("cmake", "-S", newer, "-B", f"{newer}/build", f"-DCMAKE_PREFIX_PATH={self.prefix}")

    def test_with_pkg_config(self):
        [place] = [at for at, _, names in os.walk(self.prefix) if "tally-producer.pc" in names]
        known = {"PKG_CONFIG_PATH": place}
        flags = run("pkg-config", "--cflags", "--libs", "tally-producer", **known).split()
        self.assertTrue(run("pkg-config", "--modversion", "tally-producer", **known).startswith("0.1."))
        program = f"{self.folder}/requests"
        run("c++", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-o", program, f"{self.project}/requests.cc", *flags)
        self.records(program)


if __name__ == "__main__":
    unittest.main()
