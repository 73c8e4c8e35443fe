// What dedup_runs measures: something that remembers entries on the local disk.
#pragma once

#include "core/identity.h"

#include <filesystem>
#include <memory>
#include <string>

namespace tally::bench {

class DedupStore {
 public:
  virtual ~DedupStore() = default;
  virtual void insert(const core::DedupEntry& entry) = 0;  // not remembered yet
  virtual void spill() = 0;                                // what was inserted goes to disk
  virtual void settle() = 0;                               // work in the background is over
  [[nodiscard]] virtual bool remembers(const core::DedupEntry& entry) = 0;
};

// nullptr: a kind that is not built in. Throws what the store throws.
std::unique_ptr<DedupStore> open_dedup_store(const std::string& kind,
                                             const std::filesystem::path& folder);
std::unique_ptr<DedupStore> open_rocksdb_store(const std::filesystem::path& folder);

}  // namespace tally::bench
