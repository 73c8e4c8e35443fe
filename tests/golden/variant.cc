#include "tests/golden/variant.h"

#include "core/identity.h"
#include "tests/simulation/dice.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

namespace tally::golden {

using aggregator::StoreStep;
using simulation::Dice;

namespace {

constexpr std::int64_t kBatchSpanMs = 12 * 3'600'000;

constexpr std::pair<StoreStep, const char*> kSteps[] = {
    {StoreStep::kBeforeCommit, "before_commit"},
    {StoreStep::kFenced, "fenced"},
    {StoreStep::kInCommit, "in_commit"},
    {StoreStep::kAfterCommit, "after_commit"},
    {StoreStep::kResolving, "resolving"},
    {StoreStep::kBeforeAcquire, "before_acquire"},
    {StoreStep::kEpochRaised, "epoch_raised"},
    {StoreStep::kMemoryListed, "memory_listed"},
    {StoreStep::kMemoryLoaded, "memory_loaded"},
    {StoreStep::kGrowthLocked, "growth_locked"},
    {StoreStep::kGenerationRaised, "generation_raised"},
    {StoreStep::kRollUpLocked, "roll_up_locked"},
    {StoreStep::kRolledUp, "rolled_up"},
};

Variant named(std::string name) {
  Variant variant;
  variant.name = std::move(name);
  return variant;
}

void add_killed(std::vector<Variant>& variants) {
  for (const auto& [step, name] : kSteps) {
    Variant killed = named(fmt::format("killed_{}", name));
    killed.killed_at = step;
    // Of several segments only: in one partition they are soon there.
    if (step == StoreStep::kRollUpLocked || step == StoreStep::kRolledUp) killed.partitions = 1;
    variants.push_back(killed);
  }
  Variant mirrored = named("killed_after_mirror");
  mirrored.killed_after_mirror = true;
  variants.push_back(mirrored);
}

std::vector<Variant> make_variants() {
  std::vector<Variant> variants{named("straight")};
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Variant& duplicated = variants.emplace_back(named(fmt::format("duplicated_{}", seed)));
    duplicated.duplicated = true;
    duplicated.seed = seed;
    Variant& shuffled = variants.emplace_back(named(fmt::format("shuffled_{}", seed)));
    shuffled.shuffled = true;
    shuffled.seed = seed;
  }
  add_killed(variants);
  for (const std::size_t instances : {1U, 2U, 3U}) {
    for (const std::int32_t partitions : {1, 4, 7}) {
      Variant& split =
          variants.emplace_back(named(fmt::format("split_{}x{}", instances, partitions)));
      split.instances = instances;
      split.partitions = partitions;
    }
  }
  Variant& scattered = variants.emplace_back(named("scattered"));
  scattered.scattered = true;
  scattered.instances = 2;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Variant& storm = variants.emplace_back(named(fmt::format("storm_{}", seed)));
    storm.duplicated = storm.shuffled = storm.scattered = true;
    storm.instances = 3;
    storm.partitions = 7;
    storm.seed = seed;
    storm.faults = {10, 10, 10, 50, 100, 50, 50};
  }
  return variants;
}

// Each record's copy stands anywhere behind it: before the next one of its identity, in its batch.
std::vector<Arranged> with_copies(const std::vector<Arranged>& stream, Dice& dice) {
  std::vector<Arranged> copied;
  for (auto one = stream.rbegin(); one != stream.rend(); ++one) {
    const auto limit = std::find_if(copied.begin(), copied.end(), [&](const Arranged& other) {
      return other.batch != one->batch || other.record->identity == one->record->identity;
    });
    const std::size_t behind = dice.below(static_cast<std::size_t>(limit - copied.begin()) + 1);
    copied.insert(copied.begin() + static_cast<std::ptrdiff_t>(behind), *one);
    copied.insert(copied.begin(), *one);
  }
  return copied;
}

// Records of one identity come in the order of the file at the places that fell to them.
void shuffle_batch(std::vector<Arranged>::iterator begin, std::vector<Arranged>::iterator end,
                   Dice& dice) {
  const std::vector<Arranged> before(begin, end);
  std::vector<std::size_t> order(before.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[dice.below(i)]);
  std::map<std::string, std::vector<std::size_t>> of_identity;
  for (std::size_t i = before.size(); i-- > 0;)
    of_identity[before[i].record->identity].push_back(i);  // the first one last
  for (const std::size_t drawn : order) {
    auto& left = of_identity[before[drawn].record->identity];
    *begin++ = before[left.back()];
    left.pop_back();
  }
}

}  // namespace

const std::vector<Variant>& all_variants() {
  static const std::vector<Variant> variants = make_variants();
  return variants;
}

std::vector<Arranged> arrange(const GoldenCase& golden, const Variant& variant) {
  Dice dice(variant.seed);
  std::vector<Arranged> stream;
  std::size_t batch = 0;
  std::int64_t batch_begin_ms = golden.records.front().log_time_ms;
  for (const GoldenRecord& record : golden.records) {
    if (record.log_time_ms - batch_begin_ms > kBatchSpanMs) {
      ++batch;
      batch_begin_ms = record.log_time_ms;
    }
    const auto bits = static_cast<std::int32_t>(core::home_bits(record.key));
    const std::int32_t off = record.foreign != variant.scattered ? 1 : 0;
    stream.push_back({&record, (bits % variant.partitions + off) % variant.partitions, batch});
  }
  if (variant.duplicated) stream = with_copies(stream, dice);
  if (!variant.shuffled) return stream;
  for (auto begin = stream.begin(); begin != stream.end();) {
    const auto end = std::find_if(begin, stream.end(),
                                  [&](const Arranged& one) { return one.batch != begin->batch; });
    shuffle_batch(begin, end, dice);
    begin = end;
  }
  return stream;
}

Books books_of(const GoldenCase& golden, const Variant& variant) {
  Books books = golden.books;
  if (!variant.duplicated) return books;
  // The copy of what was counted is a duplicate; anything else is again what it was.
  const std::int64_t counted = books.classes["counted"];
  for (auto& [name, records] : books.classes) {
    if (name != "counted") records *= 2;
  }
  books.classes["duplicate"] += counted;
  for (auto& [reason, records] : books.rejects) {
    if (reason.find(':') == std::string::npos) records *= 2;  // a meter's come of counted records
  }
  return books;
}

}  // namespace tally::golden
