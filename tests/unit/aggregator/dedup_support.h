// What the tests of the dedup memory share: entries spread like the hash that they are in
// production, a folder that goes when the test does, and the runs that lie in it.
#pragma once

#include "aggregator/dedup/memory.h"
#include "aggregator/dedup/segment_token.h"
#include "core/identity.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace tally::aggregator::dedup {

inline std::uint64_t mixed_bits(std::uint64_t bits) {
  bits = (bits ^ bits >> 30U) * 0xbf58476d1ce4e5b9ULL;
  bits = (bits ^ bits >> 27U) * 0x94d049bb133111ebULL;
  return bits ^ bits >> 31U;
}

inline core::DedupEntry entry_of(std::uint64_t identity, std::uint32_t content = 1,
                                 std::uint32_t generation = 1) {
  const std::uint64_t hi = mixed_bits((identity + 1) * 0x9e3779b97f4a7c15ULL);
  return {hi, mixed_bits(hi + 0x9e3779b97f4a7c15ULL) << core::DedupEntry::kCheckBits |
                  content << 4U | generation};
}

inline SegmentToken token_of(std::uint64_t number) {
  SegmentToken token;
  const std::uint64_t words[2] = {mixed_bits(number + 1), number};
  std::memcpy(token.bytes.data(), words, sizeof(words));
  return token;
}

class TempFolder {
 public:
  TempFolder() {
    // In memory where there is such a place: the tests sync often and mean nothing by it.
    const std::filesystem::path shared_memory = "/dev/shm";
    const bool has_it = std::filesystem::is_directory(shared_memory);
    const auto parent = has_it ? shared_memory : std::filesystem::temp_directory_path();
    std::string name = (parent / "tally-dedup-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder " + name);
    path_ = name;
  }
  ~TempFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  // Everything below it, oldest name first.
  [[nodiscard]] std::vector<std::filesystem::path> files(const std::string& suffix) const {
    std::vector<std::filesystem::path> found;
    for (const auto& item : std::filesystem::recursive_directory_iterator(path_)) {
      if (item.is_regular_file() && item.path().extension() == suffix) found.push_back(item.path());
    }
    std::sort(found.begin(), found.end());
    return found;
  }
  [[nodiscard]] std::vector<std::filesystem::path> runs() const { return files(".run"); }
  [[nodiscard]] MemorySettings settings(LogDay horizon_days = 36) const {
    return {horizon_days, path_, 0x7a11e, 3, 1};
  }

 private:
  std::filesystem::path path_;
};

inline void flip_bit(const std::filesystem::path& path, std::uint64_t byte, unsigned bit) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(byte));
  const int old = file.get();
  file.seekp(static_cast<std::streamoff>(byte));
  file.put(static_cast<char>(static_cast<unsigned>(old) ^ 1U << bit));
}

inline constexpr LogDay kToday = 20'000;

inline bool all_stored(const SegmentToken&) { return true; }

inline std::unique_ptr<Memory> opened(
    const MemorySettings& settings,
    const std::function<bool(const SegmentToken&)>& stored = all_stored, LogDay today = kToday) {
  auto memory = std::make_unique<Memory>(settings);
  memory->advance(today);
  memory->adopt(today - settings.horizon_days, stored);
  return memory;
}

// Claims [first, last) on a day, as one committed segment.
inline void claim(Memory& memory, std::uint64_t first, std::uint64_t last, std::uint64_t segment,
                  LogDay day = kToday) {
  for (std::uint64_t i = first; i < last; ++i) memory.insert(entry_of(i), day);
  memory.committed(day, token_of(segment));
}

inline void restore(Memory& memory, std::uint64_t first, std::uint64_t last, std::uint64_t segment,
                    LogDay day = kToday) {
  for (std::uint64_t i = first; i < last; ++i) memory.restore(entry_of(i), day);
  memory.committed(day, token_of(segment));
}

inline void expect_remembered(const Memory& memory, std::uint64_t first, std::uint64_t last,
                              Seen seen = Seen::kSameContent, LogDay today = kToday) {
  for (std::uint64_t i = first; i < last; ++i) {
    ASSERT_EQ(memory.probe(entry_of(i), today), seen) << i;
  }
}

}  // namespace tally::aggregator::dedup
