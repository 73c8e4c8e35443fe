// One life of a worker in the consumer group: it joins, acquires what it is assigned, folds and
// commits, until it is told to stop or anything provisional must be thrown away (a fenced commit, a
// changed catalogue or topology, a lost assignment). Then the whole session goes, with its client,
// its queue and its memory, and a new one starts from what is committed: nothing folded after a
// failed commit can survive it.
//
// Threads: run() on one thread; the rebalance calls come on it too. Lifetime: one run() per
// session.
#pragma once

#include "aggregator/decode.h"
#include "aggregator/environment.h"
#include "aggregator/fold.h"
#include "aggregator/probe.h"
#include "core/limits.h"

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace tally::aggregator {

struct SessionSettings {
  std::string topic;
  std::string brokers;  // for people: whom the event source asks
  std::string owner;    // for people: stands in partition_state.owner
  std::chrono::milliseconds commit_interval{1000};
  std::int64_t horizon_seconds = 0;
  std::int64_t future_bound_seconds = 0;
  std::chrono::seconds stall_limit{30};  // a partition without an owner for longer is a stall
  std::size_t memory_budget_bytes = 0;   // of dedup memory; beyond it goes to the local disk
  std::filesystem::path cache_folder;    // empty: no local disk, all stays in memory
};

[[nodiscard]] LogDay remembered_days(const SessionSettings& settings);

// That a session waits for records at a time, and so looks around at least as often.
[[nodiscard]] std::chrono::milliseconds longest_poll(std::chrono::milliseconds commit_interval);

class Session final : public runtime::kafka::RebalanceListener {
 public:
  Session(const SessionSettings& settings, Environment& environment, Probe& probe,
          Membership membership);
  ~Session() override;

  // Returns the reason why the session ended. Throws Misconfigured and runtime::kafka::FatalError.
  std::string run();
  // How the session after this one should join.
  [[nodiscard]] Membership next_membership() const { return next_membership_; }

  std::vector<std::int64_t> assigned(const std::vector<std::int32_t>& partitions) override;
  void revoked(const std::vector<std::int32_t>& partitions,
               runtime::kafka::Revocation kind) override;

 private:
  static constexpr std::chrono::seconds kDrainTime{core::kDrainSeconds};
  // What was loaded is believed as long as the connections that saw it live: a database that comes
  // back may be an older one, restored from a backup.
  static constexpr const char* kConnectionBroke =
      "the connection to the database broke: what it holds is read again";
  struct Owned {
    std::unique_ptr<PartitionState> state;
    // Reading starts at the last committed record, to see that it is still the same.
    bool verifying = false;
    bool caught_up = false;
    bool doubtful = false;                // a rebalance came by: is the next record the next one?
    std::set<core::HandoffId> under_way;  // handoff rows folded into plans not yet reported
    Pace::Clock::time_point ask_end_at;   // not before: the broker did not tell where it ends
  };

  bool open();
  std::optional<std::int64_t> acquire(std::int32_t partition,
                                      const std::optional<runtime::kafka::Watermarks>& marks);
  std::unique_ptr<PartitionState> acquire_state(
      std::int32_t partition, const std::optional<runtime::kafka::Watermarks>& marks);
  std::optional<std::int64_t> start_of(Owned& owned,
                                       const std::optional<runtime::kafka::Watermarks>& marks);
  BatchPlan& open_plan();
  void ingest(const runtime::kafka::RecordBatch& batch);
  void fold_records(std::span<const runtime::kafka::Record> records, Owned& owned, BatchPlan& plan);
  void fold_ascending(std::span<const runtime::kafka::Record> records, Owned& owned,
                      BatchPlan& plan);
  void verify(const runtime::kafka::Record& record, Owned& owned);
  void doubt_what_is_kept();
  bool goes_on(Owned& owned, std::int64_t next);
  void note_ends(const runtime::kafka::RecordBatch& batch);
  void look_for_handoffs();
  void look_for_orphans();
  [[nodiscard]] bool read_to_the_end(Owned& owned);
  void receive_handoffs(Owned& owned);
  void receive(const std::vector<HandoffRow>& rows, Owned& owned);
  void take_report(std::chrono::milliseconds time);
  void remember(const BatchPlan& committed);
  void spill_when_over_budget();
  std::vector<core::DedupEntry> claims_in(core::PartitionId partition,
                                          const BatchPlan* refused) const;
  void leave_runs(const BatchPlan* refused);
  void submit();
  void submit_when_due();
  [[nodiscard]] bool interval_over() const;
  [[nodiscard]] bool far_behind() const;
  [[nodiscard]] bool plan_full() const;
  [[nodiscard]] bool full_for_handoffs() const;
  bool drain(std::chrono::milliseconds time);
  void end(std::string reason);
  void report_ownership();
  [[nodiscard]] bool caught_up() const;

  const SessionSettings& settings_;
  Environment& environment_;
  Probe& probe_;
  Membership membership_;
  Membership next_membership_ = Membership::kConfigured;
  Pace& pace_;
  std::unique_ptr<TotalsStore> store_;
  std::unique_ptr<Committer> committer_;
  std::optional<core::IdentityHasher> hasher_;
  std::shared_ptr<const MeterSet> meters_;
  std::optional<Fold> fold_;
  std::map<std::int32_t, Owned> owned_;
  std::set<std::int32_t> ever_owned_;
  std::unique_ptr<BatchPlan> plan_;  // being folded
  Pace::Clock::time_point plan_started_;
  Pace::Clock::time_point look_for_handoffs_at_;
  Pace::Clock::time_point ask_any_end_at_;  // not before: some partition did not tell where it ends
  std::int32_t asked_in_vain_ = -1;         // the partition that did not tell, last
  std::optional<Pace::Clock::time_point> look_for_orphans_at_;  // nullopt: there are none
  std::int32_t orphans_ = 0;                // partitions without an owner at the last look
  Pace::Clock::time_point spill_again_at_;  // after the disk refused
  core::Generation generation_;
  std::int32_t partitions_ = 0;
  bool saw_record_ = false;
  std::string end_reason_;  // not empty: the session is over
  bool joined_ = false;     // an assignment came, be it of no partition
  std::unique_ptr<EventSource> source_;
};

}  // namespace tally::aggregator
