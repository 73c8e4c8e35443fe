"""The house rules. Each is a function of the tree that yields one sentence per violation."""

import posixpath
import re
import textwrap

from tree import COMPONENTS, ROOMS

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
VENDOR = re.compile(r"^(librdkafka/|rdkafka|pqxx|libpq|boost/(beast|asio)|prometheus/|spdlog/"
                    r"|CLI/|curl/|openssl/|re2/)")
HEADINGS = ("Promise", "Data in and out", "Invariants", "When things fail",
            "Where to start reading")
FOREIGN = ("python", "go", "js", "java", "bash")
# core's own vocabulary; what may stand on what, lowest first.
MAY_INCLUDE = {"core": ("core",), "runtime": ("core", "runtime"),
               **{name: ("core", "runtime", name) for name in COMPONENTS}}
ROOM_OF_INCLUDE = re.compile(r"^(core|runtime|producer|aggregator|exporter|admin|tests)/")


def without_comments(text):
    """The code with comments and the insides of strings blanked, lines kept."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"', re.S)

    def blank(match):
        kept = '""' if match[0].endswith('"') else ""
        return kept + "\n" * match[0].count("\n")
    return pattern.sub(blank, text)


def includes(text):
    return [match[2] for match in INCLUDE.finditer(text)]


def layering(tree):
    for path, text in tree.code().items():
        room = path.split("/")[0]
        for name in includes(text):
            match = ROOM_OF_INCLUDE.match(name)
            if room in MAY_INCLUDE and match and match[1] not in MAY_INCLUDE[room]:
                yield f"{path} includes {name}: {room} may stand on {', '.join(MAY_INCLUDE[room])}"


def vendors_stay_in_runtime(tree):
    for path, text in tree.code().items():
        if path.startswith("tests/"):
            continue
        for name in includes(text):
            if VENDOR.match(name) and not (path.startswith("runtime/") and not
                                           public_header(path)):
                yield f"{path} includes {name}: vendor headers stay in runtime/ sources"


def public_header(path):
    # Handles and their like are shared by the sources of one folder and named so.
    return path.endswith(".h") and not re.search(r"(handles|internal|impl)[^/]*\.h$", path)


def independent_oracles(tree):
    for folder in ("tests/support/generator/", "tests/support/sandbox/"):
        for path, text in tree.code(folder).items():
            for name in includes(text):
                if name.startswith(("core/", "aggregator/", "exporter/")):
                    yield f"{path} includes {name}: the demo would compare tally with itself"


def every_file_is_built(tree):
    included = {name for text in tree.code().values() for name in includes(text)}
    for path in tree.code():
        if path.endswith(".cc") and f"/{path}" not in tree.build:
            yield f"{path} is built by no target"
        if path.endswith(".h") and path not in included and path.split("/")[-1] not in included:
            yield f"{path} is included by nobody"


def rooms_are_described(tree):
    for room in ROOMS:
        if not tree.has_folder(room):
            yield f"{room}/ is missing"
            continue
        page = tree.files.get(f"{room}/README.md")
        if page is None:
            yield f"{room}/README.md is missing"
            continue
        for heading in HEADINGS:
            if not re.search(rf"^## {heading}\s*$", page, re.M):
                yield f"{room}/README.md has no heading '## {heading}'"


def sizes(tree):
    for path, text in tree.files.items():
        if not path.endswith((".h", ".cc", ".py", ".sh", ".cmake")) and path != "dev":
            continue
        lines = text.split("\n")
        if len(lines) - 1 > 500:
            yield f"{path} has {len(lines) - 1} lines: 500 at most"
        if not path.endswith((".h", ".cc")):
            continue
        for number, line in enumerate(lines, 1):
            if len(line) > 100:
                yield f"{path}:{number} has {len(line)} columns: 100 at most"


BANNED = (
    (r"(?<!static_)(?<!\w)assert\s*\(", ("",), "TALLY_CHECK stays on in release builds"),
    (r"\bstd::rand\b|(?<!\w)rand\s*\(\)", ("",), "randomness comes by a seed"),
    (r"\bsleep_for\b|\bsleep_until\b|(?<!\w)usleep\s*\(", ("tests/",), "a sleep is no signal"),
    (r"\b(?:double|float)\b", ("core/", "aggregator/", "exporter/"), "numbers are exact (P4)"),
)
# Seconds and buckets of metrics are no quantities: binary floating point is right there.
FLOAT_MAY_STAND = re.compile(r"(^|/)probe\.(h|cc)$")


def is_pause_of_a_poll(code, place):
    """A pause between two looks at a condition (while or for just before it) is no signal."""
    return re.search(r"\b(while|for) \(", "\n".join(code[:place].split("\n")[-2:])) is not None


def banned_words(tree):
    for path, text in tree.code().items():
        code = without_comments(text)
        for pattern, folders, why in BANNED:
            if not path.startswith(folders) or ("double" in pattern and FLOAT_MAY_STAND.search(path)):
                continue
            for match in re.finditer(pattern, code):
                if "sleep" in pattern and is_pause_of_a_poll(code, match.start()):
                    continue
                number = code.count("\n", 0, match.start()) + 1
                yield f"{path}:{number} says '{match[0].strip()}': {why}"


def nothing_left_to_do(tree):
    words = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
    for path, text in tree.files.items():
        for match in words.finditer(text):
            yield f"{path}:{text.count(chr(10), 0, match.start()) + 1} says {match[0]}"


def prose(text):
    """A page without its fenced code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def one_title_per_page(tree):
    for path, text in tree.pages().items():
        titles = re.findall(r"^# ", prose(text), re.M)
        if len(titles) != 1:
            yield f"{path} has {len(titles)} titles: one per page"


EXCERPT = re.compile(r"(?:^<!-- excerpt of (\S+) -->\n)?^```(\w*)\n(.*?)^```$", re.M | re.S)


def lines_of(text):
    """Its lines without the indentation that they share."""
    return textwrap.dedent(text).strip("\n").split("\n")


def excerpts_are_true(tree):
    """Code in docs/producing.md under `<!-- excerpt of PATH -->` stands in that file as it is, and what is said to a foreign
    client is such an excerpt: the file is run by a test, the page is not."""
    for path, language, code in EXCERPT.findall(tree.files.get("docs/producing.md", "")):
        if not path:
            if language in FOREIGN:
                yield f"docs/producing.md shows {language} that no test runs: {code[:40]!r}"
            continue
        lines, code = tree.files.get(path, "").split("\n"), lines_of(code)
        if not any(lines_of("\n".join(lines[at:at + len(code)])) == code for at in range(len(lines))):
            yield f"docs/producing.md shows what does not stand in {path}: {code[0]}"


def exists(tree, path):
    return path in tree.files or path in ("", ".") or tree.has_folder(path)


def links_resolve(tree):
    for path, text in tree.pages().items():
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(text)):
            if re.match(r"[a-z]+:|#", target):
                continue
            place = posixpath.normpath(
                posixpath.join(posixpath.dirname(path), target.split("#")[0]))
            if not exists(tree, place):
                yield f"{path} links to {target}, which is not there"


def invariants_point_to_files(tree):
    page = tree.files.get("docs/INVARIANTS.md")
    if page is None:
        yield "docs/INVARIANTS.md is missing"
        return
    known = re.compile(r"`((?:core|runtime|schemas|producer|aggregator|exporter|admin|tests|docs)"
                       r"/[\w./-]*)`")
    for target in known.findall(page):
        if not exists(tree, target):
            yield f"docs/INVARIANTS.md names {target}, which is not there"


def compose_agrees_with_the_topic(tree):
    """compose.yaml creates the topic with Kafka's own tool: its flags must be the contract's."""
    import json
    topic = tree.files.get("schemas/topics/usage.events.json")
    compose = tree.files.get("compose.yaml")
    if topic is None or compose is None:
        yield "schemas/topics/usage.events.json or compose.yaml is missing"
        return
    settings = json.loads(topic)
    flags = [f"--config {key}={value}" for key, value in settings["config"].items()]
    flags += [f"--partitions {settings['partitions']}", f"--topic {settings['name']}"]
    for flag in flags:
        if flag not in compose:
            yield f"compose.yaml does not say '{flag}' as schemas/topics/usage.events.json does"


RULES = (layering, vendors_stay_in_runtime, independent_oracles, every_file_is_built,
         rooms_are_described, sizes, banned_words, nothing_left_to_do, one_title_per_page,
         excerpts_are_true, links_resolve, invariants_point_to_files, compose_agrees_with_the_topic)
