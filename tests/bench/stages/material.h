// What the stages work on: the events of the pipeline bench, made by the same generator, as the
// records that a consumer hands out, and the catalogue that belongs to them.
#pragma once

#include "aggregator/fold.h"
#include "aggregator/meter_set.h"
#include "aggregator/tenant_book.h"
#include "core/identity.h"
#include "runtime/kafka/consumer.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tally::bench {

using Records = std::span<const runtime::kafka::Record>;

struct Workload {
  int tenants = 1'000;
  int dimensions = 0;
  std::size_t events = 250'000;  // one or a few seconds of a busy aggregator: one commit
};

// Different events of one partition, in order, all within one hour: the stream's copies are left
// out. Immutable; the records point into it.
class Material {
 public:
  explicit Material(const Workload& workload);
  Material(const Material&) = delete;
  Material& operator=(const Material&) = delete;

  [[nodiscard]] Records structured() const { return structured_; }
  // Of the same catalogue.
  [[nodiscard]] const std::shared_ptr<const aggregator::MeterSet>& meters() const {
    return meters_;
  }
  [[nodiscard]] const std::shared_ptr<const aggregator::TenantBook>& tenants() const {
    return tenants_;
  }
  [[nodiscard]] const std::string& catalogue() const { return catalogue_; }

 private:
  std::vector<std::string> texts_;
  std::vector<runtime::kafka::Record> structured_;
  std::shared_ptr<const aggregator::MeterSet> meters_;
  std::shared_ptr<const aggregator::TenantBook> tenants_;
  std::string catalogue_;
};

// The same events in Kafka's binary mode, value and headers of a record side by side in one piece
// of memory as they come over the wire. The records point into it.
class BinaryRecords {
 public:
  explicit BinaryRecords(Records structured);
  BinaryRecords(const BinaryRecords&) = delete;
  BinaryRecords& operator=(const BinaryRecords&) = delete;
  [[nodiscard]] Records records() const { return records_; }

 private:
  std::vector<std::string> bytes_;  // of one record each
  std::vector<runtime::kafka::Header> headers_;
  std::vector<runtime::kafka::Record> records_;
};

// What one call of the consumer returns.
inline constexpr std::size_t kPollRecords = 20'000;
[[nodiscard]] inline Records one_poll(Records records) {
  return records.first(std::min(kPollRecords, records.size()));
}

// Made on first use, then shared by the stages.
[[nodiscard]] const Material& common_material();
[[nodiscard]] const BinaryRecords& common_binary();

// Of the header `name`, which each binary record has.
[[nodiscard]] std::string_view header_of(const runtime::kafka::Record& record,
                                         std::string_view name);

// The rules and the key of all stages; one partition is home of all.
inline constexpr std::int64_t kHorizonSeconds = std::int64_t{35} * 86'400;
inline constexpr std::int64_t kFutureBoundSeconds = 3'600;
inline constexpr aggregator::FoldRules kRules = {kHorizonSeconds, kFutureBoundSeconds, 1};
[[nodiscard]] const core::IdentityHasher& common_hasher();

}  // namespace tally::bench
