// Publishes NDJSON: one structured CloudEvent a line, checked, then sent as it stands under key =
// id.
#pragma once

#include "core/result.h"
#include "producer/publish/account.h"
#include "runtime/kafka/producer.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace tally::producer::publish {

enum class OnBadLine { kGoOn, kStop };

struct PublishOptions {
  std::string topic = "usage.events";
  runtime::kafka::ClientSettings kafka;
  OnBadLine on_bad_line = OnBadLine::kGoOn;
  std::chrono::milliseconds drain_timeout{60'000};  // for what is outstanding at the end
  std::function<bool()> stopping = [] { return false; };
  // A bad line: its number from 1 and a sentence. On the calling thread.
  std::function<void(std::uint64_t line, const std::string& problem)> on_refused;
};

// Reads `descriptor` to its end, to the first bad line (kStop), or until `stopping`; then drains.
// When the queue is full it waits: the broker sets the pace. `total_bytes` is the input's size for
// the progress bar, 0 when not known. Blocks; shows progress on stderr.
//
// Every line read ends in the account. An error is one of the settings (nothing was read then).
// Throws std::system_error when reading fails; what was queued is drained first.
[[nodiscard]] core::Result<PublishAccount> publish_lines(int descriptor, std::uint64_t total_bytes,
                                                         const PublishOptions& options);

}  // namespace tally::producer::publish
