#include "tests/bench/producer/load.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <array>

namespace tally::bench {

std::map<std::string, std::string> kafka_settings() {
  return {{"acks", "all"},
          {"enable.idempotence", "true"},
          {"partitioner", "murmur2_random"},
          {"compression.type", "lz4"},
          {"linger.ms", "10"},
          {"batch.size", "1000000"},
          {"batch.num.messages", "10000"},
          {"queue.buffering.max.messages", "500000"},
          {"queue.buffering.max.kbytes", "262144"}};
}

Call make_call(std::uint64_t number) {
  constexpr std::array kModels = {"small-2", "large-2", "vision-1", "embed-3"};
  return {.id = fmt::format("019ab0c4-1f2e-7{:03x}-8000-{:012x}", number % 4096, number),
          .tenant = fmt::format("tenant_{:04}", number * 7919 % 1000),
          .model = kModels[number % kModels.size()],
          .tokens = 1 + number * 104'729 % 8'000};
}

void number_id(std::string& id, std::uint64_t number) {
  constexpr std::string_view kHex = "0123456789abcdef";
  for (std::size_t at = id.size(); at > id.size() - 12; number >>= 4U) {
    id[--at] = kHex[number & 0xfU];
  }
}

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

}  // namespace tally::bench
