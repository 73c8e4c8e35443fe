// What a poster was told: each event's byte in the file (tests/support/recorder/README.md), and
// sums for each life of the server that it talked to, to be held against that life's own counters.
// Threads: any.
#pragma once

#include "tests/support/poster/connection.h"
#include "tests/support/recorder/told.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace tally::drill {

using Numbers = std::vector<std::uint64_t>;  // of the events of one request, in its order

class Books {
 public:
  Books(const std::string& path, std::size_t events) : told_(path, events) {}

  // They are about to be sent: from now on a copy may exist.
  void sent(const Numbers& events);
  // The end of that request; no answer: it was cut, and its events stay as they are.
  void ended(const Numbers& events, const std::string& life, const std::optional<Answer>& answer);

  // Events that were sent and are not kept.
  [[nodiscard]] Numbers not_kept() const;
  [[nodiscard]] nlohmann::json account() const;

 private:
  struct Life {
    std::uint64_t kept = 0;  // events, as the next three
    std::uint64_t unknown = 0;
    std::uint64_t cut = 0;
    std::map<std::string, std::uint64_t> refused;  // by the answer's code
    std::uint64_t cut_requests = 0;
    std::map<std::string, std::uint64_t> answers;  // requests by status
  };
  void all(const Numbers& events, char what);
  // 503 not_all_kept: the answer names those that are not, by their place in the body.
  void read_not_all_kept(const Numbers& events, const nlohmann::json& said, Life& life);

  Told told_;
  mutable std::mutex mutex_;
  std::uint64_t offered_ = 0;          // guarded by mutex_, as the next
  std::map<std::string, Life> lives_;  // by what the server's file calls them
};

}  // namespace tally::drill
