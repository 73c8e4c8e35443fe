"""producer/examples as a user has them: what each program published is read from the log, and one aggregator counts over
all of them. The programs need nothing of tally; a case names which ones it runs."""

import json
import os
import shutil
import subprocess
import tempfile
from datetime import datetime, timedelta, timezone

from confluent_kafka import Consumer, TopicPartition

from support import scene
from support.book import CATALOGUE, Book
from support.daemon import Daemon, new_key
from support.hurdles import Hurdles
from support.partitioner import home
from support.scene import PARTITIONS, Scene, create_topic

ROOT = os.environ["TALLY_TEST_ROOT"]
EXAMPLES = os.path.join(ROOT, "producer", "examples")
CACHE = os.path.join(ROOT, ".tally")


def run(command, folder=None, **environment):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=500, check=False,
                          env={**os.environ, **environment})
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")


def uses(count):
    """What Book.take() takes: ids of every length and of every width of UTF-8, and what a shell or a reader of lines
    stumbles over."""
    start = datetime.now(timezone.utc) - timedelta(minutes=50)
    spices = ("plain", 'quo"te\\', "é", "\u2028line", "漢", "\U0001f600", "$(x) 'y' %s", "-e")
    made = []
    for number in range(count):
        name = f"{number}{spices[number % len(spices)]}"
        name += "x" * (number * 7 % (257 - len(name.encode())))
        data = ("call", {"key": "a", "status": "ok"}) if number % 3 else ("chat", {"model": "x", "tokens": 1 + number})
        made.append((name, f"tenant-{number % 5}", *data, start + timedelta(microseconds=1 + number)))
    return made


def read_between(topic, begins, ends):
    """All messages of the topic from offsets to offsets."""
    consumer = Consumer({"bootstrap.servers": scene.BROKERS, "group.id": "foreign", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, p, begins[p]) for p in range(PARTITIONS)])
    messages, left = [], {p for p in range(PARTITIONS) if begins[p] < ends[p]}
    while left:
        message = consumer.poll(30)
        assert message is not None, f"{topic}: nothing more comes from {left}"
        assert not message.error(), message.error()
        if message.offset() < ends[message.partition()]:
            messages.append(message)
        if message.offset() + 1 >= ends[message.partition()]:
            left.discard(message.partition())
    consumer.close()
    return messages


def meaning(text):
    """An event, however its writer spells JSON and times."""
    fields = json.loads(text)
    fields["time"] = datetime.fromisoformat(fields["time"].replace("Z", "+00:00"))
    return fields


class Client:
    """`publish BROKERS TOPIC` and `post URL`, events on stdin, as commands."""

    def __init__(self, name, publish, post, folder=None):
        self.name, self.publish, self.post, self.folder = name, publish, post, folder

    def run(self, command, arguments, lines, **environment):
        return subprocess.run([*command, *arguments], cwd=self.folder, input="".join(f"{line}\n" for line in lines).encode(),
                              capture_output=True, timeout=200, check=False,
                              env={**os.environ, "NO_PROXY": "*", "no_proxy": "*", **environment})


def shell_client(_scratch):
    return Client("shell", [f"{EXAMPLES}/shell/publish.sh"], [f"{EXAMPLES}/shell/post.sh"])


def python_client(_scratch):
    python = os.environ["TALLY_TEST_PYTHON"]
    return Client("python", [python, f"{EXAMPLES}/python/publish.py"], [python, f"{EXAMPLES}/python/post.py"])


def go_client(scratch):
    """Built from what `./dev test --all` has fetched: nothing is asked of the network."""
    run(["go", "build", "-o", f"{scratch}/", "./publish", "./post"], f"{EXAMPLES}/go", GOPROXY="off", GOTOOLCHAIN="local",
        GOFLAGS="-mod=readonly -modcacherw -buildvcs=false", GOMODCACHE=f"{CACHE}/go/mod", GOCACHE=f"{CACHE}/go/build")
    return Client("go", [f"{scratch}/publish"], [f"{scratch}/post"])


def node_client(scratch):
    folder = shutil.copytree(f"{EXAMPLES}/node", f"{scratch}/node", ignore=shutil.ignore_patterns("node_modules"))
    os.symlink(f"{CACHE}/node/node_modules", f"{folder}/node_modules")
    return Client("node", ["node", f"{folder}/publish.mjs"], ["node", f"{folder}/post.mjs"])


def java_client(scratch):
    libraries = f"{CACHE}/kafka/libs/*"
    run(["javac", "-Xlint:all", "-Werror", "--release", "17", "-cp", libraries, "-d", scratch,
         f"{EXAMPLES}/java/Publish.java", f"{EXAMPLES}/java/Post.java"])
    java = ["java", "-Xmx256m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{scratch}:{libraries}"]
    return Client("java", [*java, "Publish"], [*java, "Post"])


class ForeignClients:
    """The tests; a unittest.TestCase that has this too names the `clients`."""

    clients = ()

    def setUp(self):
        self.scratch = tempfile.mkdtemp(prefix="tally-foreign-")
        self.addCleanup(shutil.rmtree, self.scratch)
        self.ready = []
        for client in self.clients:
            folder = f"{self.scratch}/{client.__name__}"
            os.mkdir(folder)
            self.ready.append(client(folder))
        key, line = new_key("--tenant", "*")
        self.environment = {"TALLY_INGEST_KEY": key}
        self.keys_file = f"{self.scratch}/keys"
        with open(self.keys_file, "w", encoding="utf-8") as file:
            file.write(line + "\n")

    def daemon(self, topic):
        daemon = Daemon(topic, keys_file=self.keys_file)
        self.addCleanup(daemon.kill)
        return daemon

    def hurdles(self, daemon, plan=()):
        hurdles = Hurdles(daemon.port(), plan)
        self.addCleanup(hurdles.close)
        return hurdles

    def test_what_every_client_sends_is_counted_once(self):
        book = Book()
        made = uses(600)
        self.assertGreater(len({len(use[0].encode()) % 4 for use in made}), 3)
        made += made[::40]  # each program sends these twice
        with Scene(CATALOGUE) as stage:
            aggregator = stage.aggregator()
            daemon = self.daemon(stage.topic)
            for client in self.ready:
                with self.subTest(client=client.name, by="Kafka"):
                    self.publishes(stage, client, [book.take(*use) for use in made])
                with self.subTest(client=client.name, by="HTTP"):
                    # What was kept when its answer was cut is sent again, and so stored twice.
                    sent = [book.take(*use) for use in made]
                    self.posts(stage, client, daemon, sent, book.again(sent[:500]))
            stage.await_all_received()
            # No record was on another partition than its home, and each event is counted once over all clients.
            book.expect(stage)
            self.assertEqual(book.classes["counted"], 600)
            aggregator.await_ready()
            aggregator.stop()

    def check_log(self, stage, begins, sent):
        """What lies behind `begins`: each record once for each time that it is in `sent`, at home."""
        expected, found = {}, {}
        for name, line in sent:
            expected.setdefault(name, []).append(meaning(line))
        for message in read_between(stage.topic, begins, stage.ends()):
            name = message.key().decode()
            found.setdefault(name, []).append(meaning(message.value()))
            self.assertEqual(message.partition(), home(name, PARTITIONS), f"the partition of {name}")
            self.assertEqual(dict(message.headers() or {}).get("content-type"), b"application/cloudevents+json")
        self.assertEqual(found, expected)

    def publishes(self, stage, client, sent):
        begins = stage.ends()
        done = client.run(client.publish, [scene.BROKERS, stage.topic], [line for _, line in sent])
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.check_log(stage, begins, sent)

    def posts(self, stage, client, daemon, sent, twice):
        begins = stage.ends()
        hurdles = self.hurdles(daemon, [503, 429, "cut"])
        lines = [line for _, line in sent]
        # A batch of empty lines alone would be refused.
        done = client.run(client.post, [hurdles.url], [*lines[:7], "", *lines[7:], *([""] * 1_000)], **self.environment)
        self.assertEqual(done.returncode, 0, done.stderr.decode())
        self.assertEqual([met[0] for met in hurdles.met], [503, 429, "cut", "pass", "pass"])
        self.assertEqual(len({body for _, body, _, _ in hurdles.met[:4]}), 1, "the same again")
        for (fate, _, _, answered), (_, _, arrived, _) in zip(hurdles.met[:2], hurdles.met[1:3]):
            # A little less, for clocks of whole milliseconds; a client's own first pauses are half of it at most.
            self.assertGreater(arrived - answered, 0.95 * Hurdles.RETRY_AFTER_S[fate], f"Retry-After of a {fate}")
        self.check_log(stage, begins, [*sent, *twice])

    def test_what_is_not_kept_is_no_success(self):
        topic = f"foreign.{os.getpid()}"
        create_topic(topic)
        book = Book()
        good = [book.take(*use)[1] for use in uses(2)]
        large = good[0].replace('"data": {', '"data": {"note": "' + "x" * 1_200_000 + '", ')
        nameless = good[0].replace('"id"', '"name"')
        daemon = self.daemon(topic)
        for client in self.ready:
            for name, bad in (("too large", large), ("without an id", nameless)):
                with self.subTest(client=client.name, event=name):
                    self.assertNotIn(bad, good)
                    lines = [good[0], bad, good[1]]
                    done = client.run(client.publish, [scene.BROKERS, topic], lines)
                    self.assertNotEqual(done.returncode, 0, done.stdout)
                    self.assertTrue(done.stderr)
                    hurdles = self.hurdles(daemon)
                    done = client.run(client.post, [hurdles.url], lines, **self.environment)
                    self.assertNotEqual(done.returncode, 0, done.stdout)
                    self.assertIn(b"422", done.stderr)
                    self.assertEqual(len(hurdles.met), 1, "what cannot change is not sent again")
            with self.subTest(client=client.name, key="another"):
                hurdles = self.hurdles(daemon)
                done = client.run(client.post, [hurdles.url], good, TALLY_INGEST_KEY="none")
                self.assertNotEqual(done.returncode, 0, done.stdout)
                self.assertIn(b"401", done.stderr)
                self.assertEqual(len(hurdles.met), 1)
