// Sends synthetic usage events at a fixed rate and accounts for every one.
#pragma once

#include "producer/load/account.h"
#include "producer/load/event_stream.h"
#include "producer/load/sender.h"
#include "runtime/lifecycle/lifecycle.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace tally::producer::load {

struct LoadOptions {
  StreamOptions stream;
  std::uint64_t rate = 1'000;           // events a second, at least 1
  std::uint64_t events = 0;             // how many are due in all
  std::uint32_t again = 0;              // how often one is sent again at most
  std::optional<HttpTarget> http = {};  // or else:
  KafkaTarget kafka = {};
  std::size_t connections = 8;  // of HTTP
};

// Returns when every event that was sent has an end, or its time is over. A stop ends what is due
// and waits for what was sent. An error: nothing was sent.
[[nodiscard]] core::Result<LoadAccount> run_load(const LoadOptions& options,
                                                 const runtime::lifecycle::StopSignal& stop);

}  // namespace tally::producer::load
