// A store that answers as it is told, and plans to give to it.
#pragma once

#include "aggregator/totals_store.h"
#include "core/check.h"
#include "runtime/postgres/connection.h"

#include <fmt/format.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace tally::aggregator {

enum class Step {
  kCommitted,
  kFenced,
  kCatalogueMoved,
  kUnavailable,   // the connection breaks
  kNotConnected,  // none can be made
  kInDoubt,
  kRefused,
  kResolvedCommitted,
  kResolvedNotCommitted,
  kResolvedFenced,
};

// What the store was asked, and what it answers: one step a call, in order; to calls about a plan
// of `own`, by its partition, from there.
struct Script {
  std::mutex mutex;
  std::deque<Step> steps;  // this and below: guarded by mutex
  std::map<std::int32_t, std::deque<Step>> own;
  std::string calls;
  std::map<std::int32_t, std::string> calls_about;  // a plan of one partition
  enum class RollUps { kDone, kRefused, kAway } roll_ups = RollUps::kDone;
  // While the call is under way. By default nothing happens.
  std::function<void(const std::string& call)> on_call = [](const std::string&) {};

  static void note(const char* call, std::string& calls) {
    calls += calls.empty() ? call : std::string(" ") + call;
  }
  Step take(const char* call, const BatchPlan& plan) {
    const std::int32_t first = plan.partitions.begin()->first.value();
    const bool alone = plan.partitions.size() == 1;
    on_call(alone ? fmt::format("{} {}", call, first) : call);
    const std::lock_guard lock(mutex);
    note(call, calls);
    if (alone) note(call, calls_about[first]);
    const auto found = own.find(first);
    std::deque<Step>& answers = alone && found != own.end() ? found->second : steps;
    // Past its end the database stays away.
    if (answers.empty()) throw runtime::postgres::Unavailable("away");
    const Step step = answers.front();
    answers.pop_front();
    if (step == Step::kUnavailable) throw runtime::postgres::Unavailable("away");
    if (step == Step::kNotConnected) throw runtime::postgres::NotConnected("refused");
    if (step == Step::kInDoubt) throw runtime::postgres::InDoubt("the answer to COMMIT was lost");
    if (step == Step::kRefused) throw runtime::postgres::StatementFailed("53100", "disk full");
    return step;
  }
  std::string asked() {
    const std::lock_guard lock(mutex);
    return calls;
  }
};

class ScriptedStore final : public TotalsStore {
 public:
  explicit ScriptedStore(Script& script) : script_(script) {}
  Deployment open(const OpenRequest& /*request*/) override {
    TALLY_CHECK(false, "a committer opens nothing");
  }
  std::unique_ptr<PartitionState> acquire(const AcquireRequest& /*request*/) override {
    TALLY_CHECK(false, "a committer acquires nothing");
  }
  std::optional<LogDay> slowest_day() override { return std::nullopt; }
  std::vector<HandoffRow> waiting_handoffs(core::PartitionId /*home*/,
                                           const std::set<core::HandoffId>& /*known*/,
                                           std::optional<LogDay> /*last_day*/) override {
    TALLY_CHECK(false, "a committer receives nothing");
  }
  std::int32_t never_owned() override { return 0; }
  RollUp roll_up(const PartitionClaim& claim) override {
    script_.on_call("roll_up");
    const std::lock_guard lock(script_.mutex);
    script_.calls += " roll_up:" + std::to_string(claim.partition.value());
    if (script_.roll_ups == Script::RollUps::kAway) throw runtime::postgres::Unavailable("away");
    if (script_.roll_ups == Script::RollUps::kRefused)
      throw runtime::postgres::StatementFailed("53100", "disk full");
    return RollUp::kDone;
  }
  void drop_expired() override {
    script_.on_call("drop_expired");
    const std::lock_guard lock(script_.mutex);
    script_.calls += " drop_expired";
  }
  CommitOutcome commit(const BatchPlan& plan) override {
    TALLY_CHECK(plan.records == 42 || plan.partitions.size() > 1);
    switch (script_.take(plan.partitions.size() > 1 ? "together" : "commit", plan)) {
      case Step::kCommitted:
        return CommitOutcome::kCommitted;
      case Step::kFenced:
        return CommitOutcome::kFenced;
      case Step::kCatalogueMoved:
        return CommitOutcome::kCatalogueMoved;
      default:
        TALLY_CHECK(false, "a resolution as the answer to a commit: {}", script_.asked());
    }
  }
  Resolution resolve(const BatchPlan& plan) override {
    TALLY_CHECK(plan.records == 42);
    switch (script_.take("resolve", plan)) {
      case Step::kResolvedCommitted:
        return Resolution::kCommitted;
      case Step::kResolvedNotCommitted:
        return Resolution::kNotCommitted;
      case Step::kResolvedFenced:
        return Resolution::kFenced;
      default:
        TALLY_CHECK(false, "a commit's outcome as the answer to a resolve: {}", script_.asked());
    }
  }

 private:
  Script& script_;
};

inline std::unique_ptr<BatchPlan> some_plan(std::int32_t partition = 0) {
  static const auto kNoMeters = std::make_shared<const MeterSet>(
      std::vector<core::Meter>(), core::CatalogueVersion(1), core::CatalogueVersion(1));
  auto plan = std::make_unique<BatchPlan>();
  plan->meters = kNoMeters;
  plan->records = 42;
  plan->partitions[core::PartitionId(partition)].next = core::Offset(42);
  return plan;
}

inline std::unique_ptr<BatchPlan> claiming_plan(LogDay day) {
  auto plan = some_plan();
  plan->segments[{core::PartitionId(0), day}].entries.resize(1);
  return plan;
}

}  // namespace tally::aggregator
