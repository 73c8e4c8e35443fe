"""The files of the repository as the rules see them: path from the root -> text."""

import os
import subprocess

CODE = (".h", ".cc")
# The rooms of the house: each has a README with the five headings.
ROOMS = ("core", "runtime/config", "runtime/http", "runtime/kafka", "runtime/lifecycle",
         "runtime/log", "runtime/metrics", "runtime/postgres", "runtime/retry", "runtime/stripe", "producer",
         "aggregator", "aggregator/dedup", "exporter", "admin", "tests/support/generator",
         "tests/support/sandbox")
SOURCE_FOLDERS = ("core/", "runtime/", "producer/", "aggregator/", "exporter/", "admin/", "tests/")
COMPONENTS = ("producer", "aggregator", "exporter", "admin")


class Tree:
    def __init__(self, files, build=""):
        self.files = files
        self.build = build  # text of compile_commands.json, "" when there is none

    @staticmethod
    def of(root, compile_commands):
        listed = subprocess.run(
            ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            check=True, capture_output=True, text=True).stdout.split("\0")
        files = {}
        for path in filter(None, listed):
            full = os.path.join(root, path)
            if not os.path.isfile(full):
                continue
            with open(full, "rb") as file:
                data = file.read()
            try:
                files[path] = data.decode("utf-8")
            except UnicodeDecodeError:
                files[path] = ""  # bad bytes on purpose: examples of invalid events
        with open(compile_commands, encoding="utf-8") as file:
            return Tree(files, file.read())

    def code(self, *folders):
        return {path: text for path, text in self.files.items()
                if path.endswith(CODE) and path.startswith(folders or SOURCE_FOLDERS)}

    def pages(self):
        return {path: text for path, text in self.files.items() if path.endswith(".md")}

    def has_folder(self, folder):
        return any(path.startswith(folder.rstrip("/") + "/") for path in self.files)
