// One life of a worker in the consumer group: it joins, acquires what it is assigned, folds and
// commits, until it is told to stop or anything provisional must be thrown away (a fenced commit, a
// changed catalogue, a lost assignment). Then the whole session goes, with its consumer, its queue
// and its memory, and a new one starts from what is committed: nothing folded after a failed commit
// can survive it.
//
// Threads: run() on one thread; the rebalance calls come on it too. Lifetime: one run() per
// session.
#pragma once

#include "aggregator/committer.h"
#include "aggregator/decode.h"
#include "aggregator/fold.h"
#include "aggregator/probe.h"
#include "aggregator/totals_store.h"
#include "runtime/kafka/consumer.h"
#include "runtime/lifecycle/lifecycle.h"

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tally::aggregator {

struct SessionSettings {
  runtime::kafka::ConsumerSettings kafka;
  std::string owner;  // for people: stands in partition_state.owner
  std::chrono::milliseconds commit_interval{1000};
  std::int64_t horizon_seconds = 0;
  std::int64_t future_bound_seconds = 0;
};

using StoreFactory = std::function<std::unique_ptr<TotalsStore>()>;

class Session final : public runtime::kafka::RebalanceListener {
 public:
  Session(const SessionSettings& settings, const StoreFactory& stores, Probe& probe,
          const runtime::lifecycle::StopSignal& stop);
  ~Session() override;

  // Returns the reason why the session ended. Throws Misconfigured and runtime::kafka::FatalError.
  std::string run();

  std::vector<std::int64_t> assigned(const std::vector<std::int32_t>& partitions) override;
  void revoked(const std::vector<std::int32_t>& partitions,
               runtime::kafka::Revocation kind) override;

 private:
  struct Owned {
    std::unique_ptr<PartitionState> state;
    bool verifying =
        false;  // reading starts at the last committed record, to see that it is still the same
    bool caught_up = false;
  };

  bool open();
  std::int64_t acquire(std::int32_t partition);
  void ingest(const runtime::kafka::RecordBatch& batch);
  void verify(const runtime::kafka::Record& record, Owned& owned);
  void note_ends(const runtime::kafka::RecordBatch& batch);
  void take_report(std::chrono::milliseconds time);
  void check_partition_count();
  void submit_when_due();
  bool drain(std::chrono::milliseconds time);
  void end(std::string reason);
  void report_ownership();
  [[nodiscard]] bool caught_up() const;
  [[nodiscard]] LogDay horizon_days() const;
  [[nodiscard]] std::chrono::milliseconds poll_time() const;

  const SessionSettings& settings_;
  Probe& probe_;
  const runtime::lifecycle::StopSignal& stop_;
  std::unique_ptr<TotalsStore> store_;
  Committer committer_;
  std::optional<core::IdentityHasher> hasher_;
  std::shared_ptr<const MeterSet> meters_;
  std::optional<Decoder> decoder_;
  std::optional<Fold> fold_;
  std::map<std::int32_t, Owned> owned_;
  std::map<std::int32_t, bool> ever_owned_;
  std::unique_ptr<BatchPlan> plan_;  // being folded
  Probe::Clock::time_point plan_started_;
  std::int32_t partitions_ = 0;
  bool saw_record_ = false;
  std::string end_reason_;  // not empty: the session is over
  bool joined_ = false;     // an assignment came, be it of no partition
  std::unique_ptr<runtime::kafka::Consumer> consumer_;
};

}  // namespace tally::aggregator
