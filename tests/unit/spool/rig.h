// A spool without threads: store, appender and cursor stepped by hand.
#pragma once

#include "producer/spool/appender.h"
#include "producer/spool/cursor.h"
#include "producer/spool/store.h"
#include "tests/unit/spool/memory_disk.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace tally::producer::spool {

using Event = std::pair<std::string, std::string>;

struct ReadBack {
  std::vector<Event> events;
  std::vector<std::uint64_t> sequences;
  std::uint64_t missing = 0;
  std::uint64_t torn = 0;
};

class Rig {
 public:
  static core::Result<std::unique_ptr<Rig>> open(MemoryDisk& disk, StoreLimits limits) {
    auto store = Store::open(disk.folder(), limits);
    if (!store) return store.error();
    return std::make_unique<Rig>(std::move(store.value()));
  }
  explicit Rig(std::unique_ptr<Store> store)
      : store_(std::move(store)), appender_(std::make_unique<Appender>(*store_)) {}

  // How many of them are kept.
  Kept append(const std::vector<Event>& events, std::uint64_t at_ms = 1'700'000'000'000) {
    Group group;
    for (const auto& [key, value] : events) {
      const std::size_t before = group.bytes.size();
      append_frame(group.bytes, key, value, at_ms, body_key(store_->spool()));
      group.frame_bytes.push_back(static_cast<std::uint32_t>(group.bytes.size() - before));
    }
    return appender_->append(group);
  }
  // Everything that waits.
  [[nodiscard]] ReadBack read() {
    ReadBack out;
    Cursor cursor(*store_, store_->figures().acked);
    while (const auto step = cursor.next()) {
      out.missing += step->missing;
      out.torn += step->torn;
      if (!step->record) continue;
      out.events.emplace_back(step->record->key, step->record->value);
      out.sequences.push_back(step->record->sequence);
    }
    return out;
  }
  Store& store() { return *store_; }
  Appender& appender() { return *appender_; }

 private:
  std::unique_ptr<Store> store_;
  std::unique_ptr<Appender> appender_;
};

inline Event event(int number, std::size_t bytes = 20) {
  std::string value = "value-" + std::to_string(number) + "-";
  while (value.size() < bytes) value += static_cast<char>('a' + value.size() % 26);
  return {"id-" + std::to_string(number), value};
}

}  // namespace tally::producer::spool
