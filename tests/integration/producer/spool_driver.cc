// What spool_test.py kills: offers numbered events to a spool at a rate and says on stdout, a line
// each, what became of them: "kept ID", "not_kept ID REASON", "full ID" (once, then it tries
// again). With `drain` it ends when all is with the broker and prints "account {…}"; with `stay`
// never.
#include "producer/spool/spooled_sink.h"

#include <fmt/format.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <thread>

namespace {

using namespace tally::producer;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kSegmentBytes = 4ULL << 20U;
constexpr milliseconds kLong{120'000};

// One write for a line: a kill never leaves half of one that was believed.
void say(const std::string& line) {
  if (::write(STDOUT_FILENO, line.data(), line.size()) < 0) ::_exit(3);
}

std::uint64_t number(const char* text) {
  const std::string_view view(text);
  std::uint64_t value = 0;
  std::from_chars(view.data(), view.data() + view.size(), value);
  return value;
}

std::string value_of(const std::string& key) {
  return fmt::format(
      R"({{"specversion":"1.0","id":"{}","source":"/driver","type":"t","subject":"tenant",)"
      R"("data":{{"n":1,"pad":"{:-<200}"}}}})",
      key, key);
}

void told(const SinkOutcome& outcome) {
  say(outcome.kept ? fmt::format("kept {}\n", outcome.key)
                   : fmt::format("not_kept {} {}\n", outcome.key, outcome.reason));
}

void offer(spool::SpooledSink& sink, std::uint64_t id) {
  const std::string key = fmt::format("id-{}", id);
  const std::string value = value_of(key);
  bool was_full = false;
  while (true) {
    const Offered offered = sink.offer({key, value, id});
    if (offered == Offered::kAccepted) return;
    if (offered != Offered::kFull) throw std::runtime_error("the spool took nothing");
    if (!was_full) say(fmt::format("full {}\n", key));
    was_full = true;
    std::this_thread::yield();
  }
}

int drain(spool::SpooledSink& sink) {
  const bool empty = sink.flush(kLong) && sink.drain(kLong);
  const auto counts = sink.counts();
  say(fmt::format(
      "account {{\"found\":{},\"spooled\":{},\"delivered\":{},\"refused\":{},\"lost\":{},"
      "\"torn\":{},\"waiting\":{}}}\n",
      counts.found, counts.spooled, counts.relay.delivered, counts.relay.refused, counts.relay.lost,
      counts.relay.torn, counts.waiting_records));
  return empty ? 0 : 1;
}

int run(char** arguments) {
  auto sink = spool::SpooledSink::open(
      {.folder = arguments[1],
       .max_bytes = number(arguments[2]),
       .segment_bytes = kSegmentBytes,
       .topic = arguments[4],
       .kafka = {{"bootstrap.servers", arguments[3]}, {"message.timeout.ms", "3000"}},
       .on_outcome = told});
  if (!sink) {
    fmt::print(stderr, "{}\n", sink.error().message);
    return 2;
  }
  const std::uint64_t first = number(arguments[5]);
  const std::uint64_t count = number(arguments[6]);
  const std::uint64_t rate = number(arguments[7]);
  say("open\n");
  const auto start = Clock::now();
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto due = start + std::chrono::microseconds(i * 1'000'000 / rate);
    while (Clock::now() < due) std::this_thread::sleep_for(std::chrono::microseconds(200));
    offer(*sink.value(), first + i);
  }
  if (std::string_view(arguments[8]) == "drain") return drain(*sink.value());
  while (true) ::pause();
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 9) {
    fmt::print(stderr, "spool_driver FOLDER MAX_BYTES BROKERS TOPIC FIRST COUNT RATE drain|stay\n");
    return 2;
  }
  try {
    return run(arguments);
  } catch (const std::exception& failure) {
    fmt::print(stderr, "spool_driver: {}\n", failure.what());
    return 1;
  }
}
