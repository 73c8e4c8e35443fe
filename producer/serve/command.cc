#include "producer/serve/command.h"

#include "core/limits.h"
#include "producer/serve/daemon.h"
#include "runtime/kafka/settings.h"
#include "runtime/lifecycle/allocator.h"
#include "runtime/lifecycle/listen.h"
#include "runtime/lifecycle/open_files.h"
#include "runtime/log/log.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <utility>

namespace tally::producer::serve {
namespace {

using runtime::config::Command;
using runtime::config::Kind;
using runtime::config::Option;
using runtime::config::Positional;
using runtime::config::Settings;
using std::chrono::milliseconds;

constexpr std::string_view kNoTcp = "none";
constexpr std::uint64_t kMegabyte = 1024ULL * 1024;
// An event in the spool takes less than twice its bytes: a frame's head and its key are less than
// what every event must have.
constexpr std::uint64_t kMaxSpooledInFlightBytes = core::kMaxSpoolPendingBytes / 2;
constexpr std::size_t kOtherDescriptors = 256;  // connections that are being refused, spool, Kafka

constexpr std::array kServeOptions = {
    Option{"brokers", Kind::kText, "127.0.0.1:9092",
           "Kafka's bootstrap servers, host:port separated by commas."},
    Option{"topic", Kind::kText, "usage.events", "The topic of usage events; it must exist."},
    Option{"level", Kind::kText, "acked",
           "What 202 promises: acked, all in-sync replicas have the event; spooled, it is fsynced "
           "in the spool of this host, and sent on from there."},
    Option{"spool-folder", Kind::kText, "",
           "Of level spooled: a folder on a local disk, this process' alone."},
    Option{
        "spool-mb", Kind::kInteger, "4096",
        "Megabytes on disk beyond which the spool takes nothing until the broker has taken some.",
        128, 1'000'000},
    Option{"listen", Kind::kText, "127.0.0.1:8480",
           "HOST:PORT of the API; port 0 takes a free one, `none` listens on no TCP at all. Beyond "
           "loopback it needs keys-file or listen-token."},
    Option{"unix-socket", Kind::kText, "",
           "Path of a Unix socket to listen on as well, without TLS; its mode is 0660."},
    Option{"tls-cert", Kind::kText, "", "PEM file of a certificate chain: TCP then speaks TLS."},
    Option{"tls-key", Kind::kText, "", "PEM file of the certificate's key."},
    Option{"keys-file", Kind::kText, "",
           "Lines of `tally-producer key new`: who may send. SIGHUP reads it anew."},
    Option{"listen-token", Kind::kText, "",
           "A bearer token that may send for every tenant and see the metrics; empty: none.", 0, 0,
           false, true},
    Option{"insecure", Kind::kSwitch, "false",
           "Listen beyond loopback though neither key nor token is asked for."},
    Option{"max-body-bytes", Kind::kInteger, "8388608", "Bytes of a request's body: 413 beyond it.",
           1'024, 268'435'456},
    Option{"max-batch", Kind::kInteger, "10000", "Events of a request: 413 beyond it.", 1,
           core::kMaxServedBatchEvents},
    Option{"max-events-in-flight", Kind::kInteger, "200000",
           "Events that were taken and are not kept yet: 503 beyond it.", 1, 10'000'000},
    Option{"max-mb-in-flight", Kind::kInteger, "256", "Their megabytes: 503 beyond it.", 1, 65'536},
    Option{"max-requests-in-flight", Kind::kInteger, "4096", "Their requests: 503 beyond it.", 1,
           core::kMaxRequestsInFlight},
    Option{"max-mb-receiving", Kind::kInteger, "256",
           "Megabytes of bodies that are arriving, all connections together: 503 beyond it.", 1,
           65'536},
    Option{"max-key-events", Kind::kInteger, "0",
           "The same of one key, in events: 429 beyond it; 0: no bound of its own.", 0, 10'000'000},
    Option{"max-connections", Kind::kInteger, "1024", "Connections: 503 beyond it.", 1, 65'536},
    Option{"read-timeout-ms", Kind::kInteger, "10000",
           "Milliseconds for a request to arrive whole: 408 after it.", 100, 600'000},
    Option{"idle-timeout-ms", Kind::kInteger, "75000",
           "Milliseconds that a connection may stand without a request.", 100, 3'600'000},
    Option{"delivery-timeout-ms", Kind::kInteger, "30000",
           "Of level acked: milliseconds after which an event that no broker took is answered 503.",
           1'000, 3'600'000},
    Option{"linger-ms", Kind::kInteger, "5",
           "Milliseconds that events wait for others to go to the broker with.", 0, 1'000},
    Option{"drain-timeout-ms", Kind::kInteger, "25000",
           "Milliseconds after SIGTERM for what was begun to be answered; below the time after "
           "which the supervisor kills.",
           0, 3'600'000},
    Option{"threads", Kind::kInteger, "2", "Threads that read requests and check events.", 1, 256},
    Option{"port-file", Kind::kText, "", "Writes the listener's port to this file."},
};
constexpr std::array kFamilies = {runtime::kafka::kProducerFamily};
constexpr std::array kKeyOptions = {
    Option{"tenant", Kind::kText, "",
           "The only tenant whose events the key may send; * for every tenant's."},
};
constexpr std::array kKeyActions = {
    Positional{"ACTION", "new: prints a key, once, and its line for --keys-file.", true},
};
constexpr Command kServe{
    "serve",
    "Takes usage events over HTTP: 202 once they are kept. GET /openapi.json tells the rest.",
    kServeOptions,
    {},
    "tally-producer serve --brokers kafka:9092 --listen 0.0.0.0:8480 --keys-file "
    "/etc/tally/ingest.keys\n"
    "  curl -X POST localhost:8480/v1/events -H 'Authorization: Bearer KEY' \\\n"
    "    -H 'Content-Type: application/cloudevents+json' -d '{\"specversion\":\"1.0\",\"id\":"
    "\"req-1\",\"source\":\"/api\",\n"
    "         \"type\":\"api.request\",\"subject\":\"acme\",\"data\":{\"requests\":1}}'",
    kFamilies};
constexpr Command kKey{"key",
                       "Makes an API key for `tally-producer serve`; the file holds its hash only.",
                       kKeyOptions, kKeyActions, "tally-producer key new --tenant acme"};

int fail(const std::string& sentence, int code) {
  fmt::print(stderr, "tally-producer: {}\n", sentence);
  return code;
}

bool is_loopback(const std::string& address) {
  return address.empty() || address == "localhost" || address == "::1" ||
         address.starts_with("127.");
}

// What the table cannot say; "": nothing is wrong.
std::string contradiction(const Settings& settings, const runtime::http::ServerOptions& http) {
  const std::string& level = settings.text("level");
  if (level != "acked" && level != "spooled") {
    return fmt::format("level is \"{}\": it is acked or spooled", level);
  }
  if ((level == "spooled") != settings.has("spool-folder")) {
    return "spool-folder and level spooled belong together: give both or neither";
  }
  if (http.address.empty() && http.unix_socket.empty()) {
    return "listen is none and there is no unix-socket: give one of them";
  }
  if (settings.has("tls-cert") != settings.has("tls-key")) {
    return "tls-cert and tls-key belong together: give both or neither";
  }
  if (!is_loopback(http.address) && !settings.has("keys-file") && !settings.has("listen-token") &&
      !settings.enabled("insecure")) {
    return fmt::format(
        "listen is {}, beyond loopback: give keys-file or listen-token, so that not "
        "everybody can send events, or say --insecure",
        settings.text("listen"));
  }
  if (settings.integer("max-events-in-flight") < settings.integer("max-batch")) {
    return "max-events-in-flight is below max-batch: such a batch would never be taken";
  }
  const std::int64_t of_a_key = settings.integer("max-key-events");
  if (of_a_key != 0 && of_a_key < settings.integer("max-batch")) {
    return "max-key-events is below max-batch: such a batch would never be taken";
  }
  const auto in_flight = static_cast<std::uint64_t>(settings.integer("max-mb-in-flight"));
  if (in_flight * kMegabyte < 2 * http.max_body_bytes) {
    return "max-mb-in-flight is below twice max-body-bytes: such a body would never be taken";
  }
  if (level == "spooled" && kMaxSpooledInFlightBytes < 2 * http.max_body_bytes) {
    return fmt::format("max-body-bytes is above {}, which is too much for level spooled",
                       kMaxSpooledInFlightBytes / 2);
  }
  if (http.max_bytes_receiving < http.max_body_bytes) {
    return "max-mb-receiving is below max-body-bytes: such a body would never be read";
  }
  return "";
}

// As many descriptors as the system lets us have; "": they are enough.
std::string too_few_descriptors(std::size_t connections) {
  const std::size_t most = runtime::lifecycle::raise_open_files();
  const std::size_t needed = connections + kOtherDescriptors;
  if (most >= needed) return "";
  return fmt::format(
      "max-connections is {}, and the process may have {} open files: it needs {} more for the "
      "spool, Kafka and those that are refused; raise the limit (ulimit -n, LimitNOFILE=)",
      connections, most, kOtherDescriptors);
}

// Throws std::invalid_argument for a bad --listen.
runtime::http::ServerOptions http_options(const Settings& settings) {
  const bool tcp = settings.text("listen") != kNoTcp;
  auto http = tcp ? runtime::lifecycle::listen_options(settings.text("listen"), "")
                  : runtime::http::ServerOptions();
  if (!tcp) http.address = "";
  http.unix_socket = settings.text("unix-socket");
  http.tls_certificate_file = settings.text("tls-cert");
  http.tls_key_file = settings.text("tls-key");
  http.max_body_bytes = static_cast<std::size_t>(settings.integer("max-body-bytes"));
  http.max_bytes_receiving =
      static_cast<std::uint64_t>(settings.integer("max-mb-receiving")) * kMegabyte;
  http.read_timeout = milliseconds(settings.integer("read-timeout-ms"));
  http.idle_timeout = milliseconds(settings.integer("idle-timeout-ms"));
  http.max_connections = static_cast<std::size_t>(settings.integer("max-connections"));
  http.threads = static_cast<int>(settings.integer("threads"));
  return http;
}

IntakeOptions intake_options(const Settings& settings) {
  IntakeOptions intake;
  intake.max_batch = static_cast<std::size_t>(settings.integer("max-batch"));
  intake.limits.events = static_cast<std::uint64_t>(settings.integer("max-events-in-flight"));
  intake.limits.requests = static_cast<std::size_t>(settings.integer("max-requests-in-flight"));
  intake.limits.bytes =
      static_cast<std::uint64_t>(settings.integer("max-mb-in-flight")) * kMegabyte;
  if (settings.text("level") == "spooled") {
    // So the spool's own bound, which could cut a batch in two, comes after these.
    intake.limits.bytes = std::min(intake.limits.bytes, kMaxSpooledInFlightBytes);
  }
  intake.limits.events_of_a_key = static_cast<std::uint64_t>(settings.integer("max-key-events"));
  return intake;
}

SinkOptions sink_options(const Settings& settings, const InFlightLimits& limits) {
  SinkOptions sink;
  sink.topic = settings.text("topic");
  // What people set, under what the daemon's own bounds and promises need.
  sink.admin = runtime::kafka::merged(
      {{"client.id", "tally-producer-serve"}, {"linger.ms", settings.text("linger-ms")}},
      settings.family("kafka"));
  sink.admin["bootstrap.servers"] = settings.text("brokers");
  sink.kafka = sink.admin;
  sink.level = settings.text("level") == "acked" ? Level::kAcked : Level::kSpooled;
  if (sink.level == Level::kAcked) {
    // The intake's own bounds come first, so that a batch is taken whole or not at all.
    sink.kafka["message.timeout.ms"] = settings.text("delivery-timeout-ms");
    sink.kafka["queue.buffering.max.messages"] = std::to_string(limits.events + 1);
    sink.kafka["queue.buffering.max.kbytes"] = std::to_string(2 * limits.bytes / 1024);
    sink.kafka["message.max.bytes"] = std::to_string(core::kMaxRecordBytes);
  }
  sink.spool_folder = settings.text("spool-folder");
  sink.spool_bytes = static_cast<std::uint64_t>(settings.integer("spool-mb")) * kMegabyte;
  return sink;
}

}  // namespace

const Command& serve_command() { return kServe; }
const Command& key_command() { return kKey; }

namespace {

constexpr int kWrongSettings = 2;

int run(const Settings& settings) {
  runtime::lifecycle::keep_freed_memory();
  runtime::log::init("tally-producer");
  // SIGTERM drains: what was taken is answered.
  const runtime::lifecycle::StopSignal stop;
  DaemonOptions options;
  options.http = http_options(settings);
  options.intake = intake_options(settings);
  options.sink = sink_options(settings, options.intake.limits);
  options.token = settings.text("listen-token");
  options.keys_file = settings.text("keys-file");
  options.port_file = settings.text("port-file");
  options.drain_timeout = milliseconds(settings.integer("drain-timeout-ms"));
  if (const std::string wrong = contradiction(settings, options.http); !wrong.empty()) {
    return fail(wrong, kWrongSettings);
  }
  if (const std::string few = too_few_descriptors(options.http.max_connections); !few.empty()) {
    return fail(few, 1);
  }
  const auto ran = run_daemon(std::move(options), stop);
  if (ran) return 0;
  return fail(ran.error().message,
              ran.error().kind == core::ErrorKind::kInvalid ? kWrongSettings : 1);
}

}  // namespace

int serve(const Settings& settings) {
  try {
    return run(settings);
  } catch (const std::invalid_argument& wrong) {
    return fail(wrong.what(), kWrongSettings);
  } catch (const runtime::http::WrongSetting& wrong) {
    return fail(wrong.what(), kWrongSettings);
  }
}

int key(const Settings& settings) {
  if (settings.text("ACTION") != "new") {
    return fail(fmt::format("key {}: the action is `new`", settings.text("ACTION")), 2);
  }
  const auto made = new_key(settings.text("tenant"));
  if (!made) return fail(made.error().message, 2);
  fmt::print(
      "The key, shown this once, for whoever sends:\n  {}\nIts line for --keys-file:\n  {}\n",
      made.value().key, made.value().line);
  return 0;
}

}  // namespace tally::producer::serve
