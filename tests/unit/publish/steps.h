// Reading a file to which something is done each time the reader waits.
#pragma once

#include "producer/publish/input.h"
#include "producer/publish/record_reader.h"
#include "tests/unit/publish/scratch.h"

#include <functional>
#include <string>
#include <vector>

namespace tally::producer::publish {

using Steps = std::vector<std::function<void()>>;
using Lines = std::vector<std::string>;

inline constexpr Follow kAtOnce{std::chrono::milliseconds(0)};

// Reads until nothing comes any more: each time the input waits, the next step is done.
inline Lines follow(Input& input, RecordReader& reader, const Steps& steps) {
  std::size_t done = 0;
  input.keep_waiting([&] {
    if (done == steps.size()) return false;
    steps[done++]();
    return true;
  });
  Lines out;
  Record record;
  for (;;) {
    const Next next = reader.next(record);
    if (next == Next::kStopped || next == Next::kEnd) break;
    out.push_back(next == Next::kNewFile
                      ? "<new file>"
                      : std::to_string(record.line) + "@" + std::to_string(record.offset) + " " +
                            std::string(record.text));
  }
  return out;
}

inline FilePlace place_of(const Scratch& scratch, const std::string& name, std::uint64_t offset) {
  Input input(scratch.path(name));
  RecordReader reader(input, 100, std::nullopt);
  follow(input, reader, {});
  return place_in(*input.file(), offset, 2);
}

}  // namespace tally::producer::publish
