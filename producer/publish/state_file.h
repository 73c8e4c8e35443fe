// How far a file was published and acked, on disk, so that the next run goes on there. What it says
// may be old: then records are sent again under the same ids, and counted once.
//
// One thread; one run for a state, which StateLock sees to.
#pragma once

#include "core/result.h"
#include "producer/publish/input.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::producer::publish {

// What stands beside a state, by the name's end: the next one, and StateLock's file.
inline constexpr const char* kNewSuffix = ".new";
inline constexpr const char* kLockSuffix = ".lock";

struct State {
  std::string topic;
  FilePlace place;
  // Of before the place's file, the newest last.
  std::vector<LeftFile> left = {};
  friend bool operator==(const State&, const State&) = default;
};

[[nodiscard]] std::string to_json(const State& state);
// An error: it is no state.
[[nodiscard]] core::Result<State> parse_state(std::string_view json);

// nullopt: there is none. An error says which file is no state of tally-producer's.
[[nodiscard]] core::Result<std::optional<State>> load_state(const std::string& path);
// Either the old one stands or the new one, also after a power cut. Throws std::system_error.
void store_state(const std::string& path, const State& state);

// A run's hold on its state, as long as it lives or the process does. It is on the file PATH.lock,
// which stays, for the state itself is replaced.
class StateLock {
 public:
  // An error names the process that has it, or says why PATH.lock cannot be one: it is somebody's
  // file, or no lock can be had where it lies. Throws std::system_error where it cannot be opened.
  [[nodiscard]] static core::Result<StateLock> take(const std::string& path);
  StateLock(StateLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  StateLock& operator=(StateLock&&) = delete;
  ~StateLock();

 private:
  explicit StateLock(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
};

}  // namespace tally::producer::publish
