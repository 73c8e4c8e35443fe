// The simulated consumer group and its members' clients: cooperative rebalances, static and dynamic
// members, and the ways in which a client lags behind the truth: old metadata, a lost membership it
// has not heard of, records of a revoked partition still in its queue.
#pragma once

#include "aggregator/event_source.h"
#include "tests/simulation/scheduler.h"
#include "tests/simulation/sim_log.h"

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace tally::simulation {

using MemberId = std::int64_t;

// How brokers and clients behave in one schedule.
struct GroupRules {
  std::int64_t session_timeout_us = 3'000'000;
  std::int64_t silent_per_mille = 0;       // a question to the brokers stays without an answer
  std::int64_t stale_queue_per_mille = 0;  // records of a revoked partition are still handed out
  std::int64_t lossy_per_mille = 0;        // a rebalance loses what was fetched of a kept partition
  std::size_t largest_poll = 20;           // records
};

// The coordinator. Threads: one, as everything here.
class SimGroup {
 public:
  SimGroup(Scheduler& scheduler, SimLog& log, const GroupRules& rules)
      : scheduler_(scheduler), log_(log), rules_(rules) {}

  MemberId join(const std::string& instance_id, std::int32_t known_partitions);
  void leave(MemberId member);
  [[nodiscard]] bool contains(MemberId member) const { return members_.contains(member); }
  void heartbeat(MemberId member) { members_.at(member).seen_us = scheduler_.now_us(); }
  // Members that were not heard of are out; also, by a fault, one that is well.
  void expire();
  void kick_one();
  // The member who decides on assignments has learned of new partitions.
  void refresh_metadata() {
    known_partitions_ = log_.partitions();
    rebalance();
  }

  [[nodiscard]] std::set<std::int32_t> target_of(MemberId member) const;
  [[nodiscard]] bool is_free(std::int32_t partition) const { return !owner_.contains(partition); }
  void take(std::int32_t partition, MemberId member) { owner_[partition] = member; }
  void release(std::int32_t partition, MemberId member);

  [[nodiscard]] Scheduler& scheduler() { return scheduler_; }
  [[nodiscard]] SimLog& log() { return log_; }
  [[nodiscard]] const GroupRules& rules() const { return rules_; }

  // The offsets that members mirrored, for lag tools.
  std::map<std::int32_t, std::int64_t> mirrored;
  std::function<void(std::int32_t, std::int64_t)> on_mirrored;

 private:
  struct Member {
    std::string instance_id;
    std::int64_t seen_us = 0;
  };
  void remove(MemberId member);
  void rebalance();

  Scheduler& scheduler_;
  SimLog& log_;
  GroupRules rules_;
  std::int32_t known_partitions_ = 0;
  MemberId next_member_ = 1;
  std::map<MemberId, Member> members_;
  std::map<std::int32_t, MemberId> owner_;
  std::map<std::int32_t, MemberId> target_;
};

// One client. Its destructor leaves the group, unless its process was killed.
class SimSource final : public aggregator::EventSource {
 public:
  SimSource(SimGroup& group, std::string instance_id, std::int32_t& known_partitions,
            runtime::kafka::RebalanceListener& listener)
      : group_(group),
        instance_id_(std::move(instance_id)),
        known_partitions_(known_partitions),
        listener_(listener) {}
  ~SimSource() override;

  runtime::kafka::RecordBatch poll(std::size_t max_records,
                                   std::chrono::milliseconds timeout) override;
  std::optional<runtime::kafka::Watermarks> watermarks(std::int32_t partition,
                                                       std::chrono::milliseconds timeout) override;
  [[nodiscard]] std::optional<std::int64_t> fetched_end(std::int32_t partition) const override;
  std::optional<std::int32_t> partition_count(std::chrono::milliseconds timeout) override;
  void mirror_offsets(
      const std::vector<std::pair<std::int32_t, std::int64_t>>& next_offsets) override;
  [[nodiscard]] std::string transport_problem() const override { return {}; }

 private:
  // Where reading goes on; an end is told once each time it is reached.
  struct Fetch {
    std::int64_t next = 0;
    bool told_end = false;
  };
  // Left in the queue when the partition went.
  struct Stale {
    std::int64_t next = 0;
    std::int64_t end = 0;
  };

  void hear_of_rebalance();
  void revoke(const std::vector<std::int32_t>& partitions, runtime::kafka::Revocation kind);
  void lose_what_was_fetched();
  [[nodiscard]] bool something_to_hand_out() const;
  void hand_out_stale(runtime::kafka::RecordBatch& batch);
  void hand_out(std::int32_t partition, Fetch& fetch, std::size_t max_records,
                runtime::kafka::RecordBatch& batch);
  bool silent();

  SimGroup& group_;
  std::string instance_id_;
  std::int32_t& known_partitions_;  // the process' metadata, refreshed by the schedule
  runtime::kafka::RebalanceListener& listener_;
  std::optional<MemberId> member_;
  std::set<std::int32_t> assigned_;  // as this client believes
  std::map<std::int32_t, Fetch> fetches_;
  std::map<std::int32_t, Stale> stale_;
};

}  // namespace tally::simulation
