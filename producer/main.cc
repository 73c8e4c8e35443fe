// tally-producer: publishes usage events from files and pipes, and serves those who send them over
// HTTP.
#include "producer/load/command.h"
#include "producer/publish/command.h"
#include "producer/publish/tail_command.h"
#include "producer/serve/command.h"
#include "runtime/config/settings.h"

#include <fmt/core.h>

#include <array>
#include <cstdio>
#include <exception>

int main(int argc, char** argv) {
  using namespace tally;
  const std::array commands = {producer::publish::publish_command(),
                               producer::publish::tail_command(), producer::serve::serve_command(),
                               producer::serve::key_command(), producer::load::load_command()};
  const auto parsed = runtime::config::parse("tally-producer",
                                             "Publishes usage events to Kafka and accounts for "
                                             "every one.",
                                             commands, argc, argv);
  if (!parsed.settings) return parsed.exit_code;
  const runtime::config::Settings& settings = *parsed.settings;
  try {
    if (settings.command() == "load") return producer::load::load(settings);
    if (settings.command() == "serve") return producer::serve::serve(settings);
    if (settings.command() == "key") return producer::serve::key(settings);
    if (settings.command() == "tail") return producer::publish::tail(settings);
    return producer::publish::publish(settings);
  } catch (const std::exception& problem) {
    fmt::print(stderr, "tally-producer: {}\n", problem.what());
    return 1;
  }
}
