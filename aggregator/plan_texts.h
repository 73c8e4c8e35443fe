// The texts by which a plan's windows are named (tenants, dimensions), each once: so a window's key
// is of fixed size, owns no memory, and two keys of one plan are compared without their texts.
//
// Bounded by core::kMaxTextBytesPerCommit: the session ends a plan that has more. Append-only: a
// text stays where it is, and as it is, as long as its PlanTexts lives. Threads: one at a time.
#pragma once

#include "aggregator/row_table.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace tally::aggregator {

// Of a text, what tables find it by.
[[nodiscard]] std::uint64_t hash_of(std::string_view text);

// One text. Its bytes follow it in memory.
class PlanText {
 public:
  PlanText(const PlanText&) = delete;
  PlanText& operator=(const PlanText&) = delete;

  [[nodiscard]] std::string_view view() const {
    return {reinterpret_cast<const char*>(this + 1), size_};
  }
  // Texts are numbered from 0 in the order of their birth.
  [[nodiscard]] std::uint32_t number() const { return number_; }

 private:
  friend class PlanTexts;
  PlanText(std::uint32_t size, std::uint32_t number) : size_(size), number_(number) {}

  std::uint32_t size_;
  std::uint32_t number_;
};

class PlanTexts {
 public:
  PlanTexts() = default;
  PlanTexts(const PlanTexts&) = delete;
  PlanTexts& operator=(const PlanTexts&) = delete;

  // The one with these bytes, all of which are compared; born when it is not there.
  const PlanText& intern(std::string_view text) { return intern(text, hash_of(text)); }
  const PlanText& intern(std::string_view text, std::uint64_t hash) {
    return *texts_.at(
        hash, [&](const PlanText* met) { return met->view() == text; }, [&] { return born(text); });
  }

  // In the order of their numbers.
  [[nodiscard]] auto begin() const { return texts_.begin(); }
  [[nodiscard]] auto end() const { return texts_.end(); }
  [[nodiscard]] std::size_t size() const { return texts_.size(); }
  // That they take in memory, without the table that finds them.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  [[nodiscard]] const PlanText* born(std::string_view text);

  RowTable<const PlanText*> texts_;
  std::vector<std::unique_ptr<std::byte[]>> chunks_;
  std::byte* free_ = nullptr;  // of the last chunk
  std::size_t free_bytes_ = 0;
  std::size_t bytes_ = 0;  // of all chunks
};

}  // namespace tally::aggregator
