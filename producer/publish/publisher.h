// Publishes the records of an input: each is made a message by the recipe, checked, and sent under
// key = id.
#pragma once

#include "core/result.h"
#include "producer/publish/account.h"
#include "producer/publish/input.h"
#include "producer/publish/recipe.h"
#include "runtime/kafka/producer.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace tally::producer::publish {

enum class OnBadRecord { kGoOn, kStop };

struct PublishOptions {
  std::string topic = "usage.events";
  runtime::kafka::ClientSettings kafka;
  std::optional<char> csv_delimiter;  // nullopt: records are lines
  OnBadRecord on_bad_record = OnBadRecord::kGoOn;
  // Where the input ends without a line end.
  LastLine last_line = LastLine::kIsRecord;
  std::chrono::milliseconds drain_timeout{60'000};  // for what is outstanding at the end
  std::function<bool()> stopping = [] { return false; };
  // The file that keeps how far everything was acked; "": none. What it says is gone on from, and
  // the first failed record ends the reading, for nothing behind it could be kept.
  std::string state_file;
  // Events wait, and none was delivered for so long: that is trouble.
  std::chrono::milliseconds standstill{10'000};
  // What people must know while it goes on. On the calling thread.
  std::function<void(const std::string& sentence)> on_trouble;
  // A bad record: its line from 1 and a sentence. On the calling thread.
  std::function<void(std::uint64_t line, const std::string& problem)> on_refused;
};

// Reads `input` to its end, to the first bad record (kStop), or until `stopping`; then drains.
// When the queue is full it waits: the broker sets the pace. Blocks; shows progress on stderr.
//
// Every record read ends in the account, also where reading fails or the state can no longer be
// written: that ends it, is drained and told there. An error is one of the settings, of the file's
// header or of the state: nothing was published then.
[[nodiscard]] core::Result<PublishAccount> publish_records(Input& input, Recipe& recipe,
                                                           const PublishOptions& options);

}  // namespace tally::producer::publish
