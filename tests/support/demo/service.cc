// The demo's service that links the client library, with the spool on:
//   tally-demo-service BROKERS SPOOL-FOLDER
// Reads a request a line (id, microseconds since 1970, type, tenant, data; tabs between them),
// records each, says at their end how many were in the spool because the broker was away, and ends
// once the broker has them all. Exit code 0 only if nothing was refused or lost.
#include "producer/usage_client.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <limits>
#include <string>
#include <string_view>

namespace {

using namespace tally::producer;
using std::chrono::seconds;

constexpr seconds kPatience{60};  // in which something must have gone on

int fail(std::string_view what, std::string_view why) {
  std::fprintf(stderr, "%.*s: %.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(why.size()), why.data());
  return 1;
}

// The line's five fields; false when it has another number of them.
bool split(std::string_view line, std::array<std::string_view, 5>& fields) {
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const std::size_t tab = line.find('\t');
    if ((tab == std::string_view::npos) != (i + 1 == fields.size())) return false;
    fields[i] = line.substr(0, tab);
    line.remove_prefix(fields[i].size() + (i + 1 == fields.size() ? 0 : 1));
  }
  return true;
}

// A full queue makes this service wait; another one would drop and count.
Receipt record(UsageClient& client, const UsageEvent& event) {
  Receipt receipt = client.record(event);
  for (seconds waited{0}; receipt.recorded == Recorded::kQueueFull && waited < kPatience;
       ++waited) {
    client.wait_for_room(seconds(1));
    receipt = client.record(event);
  }
  return receipt;
}

// How many are left once none is, or no fewer than kPatience before.
template <class Wait>
std::size_t wait_while_it_advances(const Wait& wait) {
  std::size_t before = std::numeric_limits<std::size_t>::max();
  for (;;) {
    const std::size_t left = wait(kPatience);
    if (left == 0 || left >= before) return left;
    before = left;
  }
}

bool record_line(UsageClient& client, std::string_view line) {
  std::array<std::string_view, 5> fields;
  if (!split(line, fields)) return false;
  const auto [id, time, type, tenant, data] = fields;
  std::int64_t micros = 0;
  const auto read = std::from_chars(time.data(), time.data() + time.size(), micros);
  if (read.ec != std::errc() || read.ptr != time.data() + time.size()) return false;
  const std::chrono::system_clock::time_point at{std::chrono::microseconds(micros)};
  const Receipt receipt = record(
      client, {.id = id, .source = {}, .type = type, .tenant = tenant, .time = at, .data = data});
  if (!receipt) fail(id, receipt.reason);
  return static_cast<bool>(receipt);
}

int run(UsageClient& client) {
  std::string line;
  while (std::getline(std::cin, line)) {
    if (!record_line(client, line)) return fail(line, "not recorded");
  }
  if (wait_while_it_advances([&](seconds time) { return client.flush(time); }) > 0) {
    return fail("flush", "the spool does not take the events");
  }
  std::printf("recorded all; %ju of them wait in the spool\n",
              std::uintmax_t{client.spool_account().value_or(SpoolAccount{}).waiting});
  std::fflush(stdout);
  const std::size_t left = wait_while_it_advances([&](seconds time) { return client.drain(time); });
  const SpoolAccount account = client.spool_account().value_or(SpoolAccount{});
  const UsageCounts counts = client.counts();
  std::printf("accepted %ju spooled %ju delivered %ju refused %ju lost %ju left %zu\n",
              std::uintmax_t{counts.accepted}, std::uintmax_t{counts.spooled},
              std::uintmax_t{account.delivered}, std::uintmax_t{account.refused},
              std::uintmax_t{account.lost}, left);
  return left == 0 && account.delivered == counts.accepted ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return fail("usage", "tally-demo-service BROKERS SPOOL-FOLDER");
  UsageClientOptions options;
  options.brokers = argv[1];
  options.source = "/services/gateway";
  options.level = Level::kSpooled;
  options.spool_directory = argv[2];
  const Opened opened = UsageClient::open(options);
  if (!opened.client) return fail("open", opened.problem);
  return run(*opened.client);
}
