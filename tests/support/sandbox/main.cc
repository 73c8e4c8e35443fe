// tally-stripe-sandbox: the sandbox behind a socket.
#include "runtime/config/settings.h"
#include "runtime/http/server.h"
#include "runtime/lifecycle/open_files.h"
#include "runtime/log/log.h"
#include "tests/support/sandbox/courier.h"
#include "tests/support/sandbox/sandbox.h"

#include <array>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>

namespace {

using tally::runtime::config::Command;
using tally::runtime::config::Kind;
using tally::runtime::config::Option;
using tally::runtime::config::Settings;
namespace http = tally::runtime::http;
namespace log = tally::runtime::log;

constexpr std::array kOptions = {
    Option{.name = "listen",
           .default_value = "127.0.0.1:0",
           .sentence = "HOST:PORT to listen on; port 0 takes a free one."},
    Option{.name = "port-file",
           .sentence = "File to which the port is written once the sandbox answers."},
    Option{.name = "state-file",
           .sentence = "Journal of JSON lines, re-read at start; without it all is forgotten."},
    Option{.name = "answer-delay-ms",
           .kind = Kind::kInteger,
           .sentence = "How long each Stripe answer takes; wins over --settings.",
           .min = 0,
           .max = 600'000},
    Option{.name = "settings",
           .default_value = "{}",
           .sentence = "A JSON object as POST /sandbox/settings takes it."},
    Option{.name = "fault-plan",
           .default_value = "null",
           .sentence = "A JSON object as POST /sandbox/fault_plan takes it."},
    Option{.name = "max-connections",
           .kind = Kind::kInteger,
           .default_value = "4096",
           .sentence = "Connections at once; over it: 503.",
           .min = 1,
           .max = 100'000},
    Option{.name = "threads",
           .kind = Kind::kInteger,
           .default_value = "4",
           .sentence = "Threads that read and answer requests.",
           .min = 1,
           .max = 64},
    Option{.name = "webhook-threads",
           .kind = Kind::kInteger,
           .default_value = "1",
           .sentence = "Threads that send webhooks; above 1 they may overtake each other.",
           .min = 1,
           .max = 64},
    Option{.name = "webhook-timeout-ms",
           .kind = Kind::kInteger,
           .default_value = "10000",
           .sentence = "How long an endpoint has for its answer.",
           .min = 100,
           .max = 600'000},
};
constexpr std::array kCommands = {
    Command{.name = "",
            .sentence = "Serve until SIGTERM or SIGINT.",
            .options = kOptions,
            .positionals = {},
            .example = "tally-stripe-sandbox --listen 127.0.0.1:12111 --state-file state.jsonl"},
};

// Renamed into place, so that a reader never sees half a number.
void write_port(const std::string& path, std::uint16_t port) {
  const std::string half = path + ".new";
  std::ofstream stream(half);
  stream << port << "\n" << std::flush;
  if (!stream) throw std::runtime_error("cannot write " + half + "; give a writable --port-file");
  stream.close();
  std::filesystem::rename(half, path);
}

void serve(const Settings& settings) {
  // Blocked before any thread starts, so that all inherit it and sigwait() below takes them.
  sigset_t stops;
  ::sigemptyset(&stops);
  ::sigaddset(&stops, SIGTERM);
  ::sigaddset(&stops, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &stops, nullptr);

  const auto endpoint = http::parse_endpoint(settings.text("listen"));
  if (!endpoint) {
    throw std::runtime_error("--listen is \"" + settings.text("listen") +
                             "\"; give HOST:PORT, for example 127.0.0.1:0");
  }
  tally::sandbox::SandboxOptions options;
  options.state_file = settings.text("state-file");
  options.settings = nlohmann::json::parse(settings.text("settings"), nullptr, false);
  if (!options.settings.is_object()) throw std::runtime_error("--settings is no JSON object");
  options.fault_plan = nlohmann::json::parse(settings.text("fault-plan"), nullptr, false);
  if (options.fault_plan.is_discarded()) throw std::runtime_error("--fault-plan is no JSON");
  if (settings.has("answer-delay-ms")) {
    options.settings["answer_delay_ms"] = settings.integer("answer-delay-ms");
  }
  tally::sandbox::Sandbox sandbox(options);

  http::ServerOptions server_options;
  server_options.address = endpoint->host;
  server_options.port = endpoint->port;
  server_options.max_connections = static_cast<std::size_t>(settings.integer("max-connections"));
  server_options.threads = static_cast<int>(settings.integer("threads"));
  // A hanging answer holds its connection.
  tally::runtime::lifecycle::raise_open_files();
  const http::Server server(server_options,
                            [&](const http::Request& request) { return sandbox.handle(request); });
  const tally::sandbox::Courier courier(
      sandbox, static_cast<int>(settings.integer("webhook-threads")),
      std::chrono::milliseconds(settings.integer("webhook-timeout-ms")));
  if (settings.has("port-file")) write_port(settings.text("port-file"), server.port());
  log::info("sandbox answers", {{"address", endpoint->host}, {"port", server.port()}});
  int signal = 0;
  ::sigwait(&stops, &signal);
  log::info("sandbox stops", {{"signal", signal}});
}

}  // namespace

int main(int argc, char** argv) {
  log::init("tally-stripe-sandbox");
  const auto parsed = tally::runtime::config::parse(
      "tally-stripe-sandbox", "A local, stateful Stripe for usage-based billing.", kCommands, argc,
      argv);
  if (!parsed.settings) return parsed.exit_code;
  try {
    serve(*parsed.settings);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "tally-stripe-sandbox: %s\n", problem.what());
    return 1;
  }
  return 0;
}
