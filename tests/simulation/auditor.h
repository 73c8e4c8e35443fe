// The slow, obvious judge of a simulated run. It knows every message that was sent and where each
// record lies in the log, watches the commits, and at the end works out by trying what the totals
// must be. It shares no code with the aggregator's fold, plan or memory.
//
// Copyable: a database that is restored from a backup takes the auditor's view of it along.
#pragma once

#include "tests/simulation/auditor_worth.h"
#include "tests/simulation/coverage.h"
#include "tests/simulation/sim_log.h"
#include "tests/simulation/tables.h"
#include "tests/simulation/workload.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace tally::simulation {

struct AuditRules {
  std::int64_t horizon_us = 0;
  std::int64_t future_bound_us = 0;
  // At most so long after its first sight an identity may still be remembered.
  std::int64_t longest_memory_us = 0;
};

class Auditor {
 public:
  Auditor(const SimLog& log, const Workload& workload, const Tenants& tenants,
          const AuditRules& rules)
      : log_(&log), workload_(&workload), tenants_(&tenants), rules_(rules) {}

  // Each returns the sentence of a promise that is broken, or "".
  [[nodiscard]] std::string committed(const aggregator::BatchPlan& plan, const Tables& tables);
  [[nodiscard]] std::string mirrored(std::int32_t partition, std::int64_t offset);
  // The database is what it was then; what happened outside it stays.
  void restore(const Auditor& before);
  // When everything was sent and nothing moves any more.
  [[nodiscard]] std::string at_rest(const Tables& tables, Coverage& coverage) const;
  // Everything in the log was consumed and nothing waits for its home.
  [[nodiscard]] bool all_settled() const;
  // What is not settled, for a run that does not come to rest.
  [[nodiscard]] std::string pending() const;
  // Records that were handed off once more, because the topic had grown meanwhile.
  [[nodiscard]] std::int64_t handed_on() const { return handed_on_; }
  // Log time of the oldest record that is not settled yet.
  [[nodiscard]] std::optional<std::int64_t> oldest_pending_ms() const;

 private:
  using Place = std::pair<std::int32_t, std::int64_t>;  // partition and offset in the log

  // A record whose class was decided.
  struct Settled {
    Place place;
    std::int64_t commit = 0;  // in which commit, counted from 1
    std::int64_t row = 0;     // of the handoff that brought it; 0: read from the log
    std::int32_t home = 0;
    std::size_t catalogue = 0;
    // Its home can have forgotten a copy of it: that it is late is then no fault.
    bool unknown = false;
  };
  struct Sums {
    std::int64_t consumed = 0;
    std::int64_t received = 0;
    std::int64_t handed_off = 0;
    std::int64_t rejected = 0;
    std::int64_t unmetered = 0;
    std::int64_t filtered = 0;
    std::int64_t deduplicated = 0;  // duplicate, conflict, late, counted
    std::int64_t skipped = 0;
    std::int64_t lost = 0;
  };
  std::string consume(std::int32_t partition, const aggregator::PartitionAdvance& advance,
                      const aggregator::BatchPlan& plan);
  std::string consume_record(const Place& place, const aggregator::BatchPlan& plan,
                             std::set<std::pair<Place, std::int32_t>>& sent);
  std::string take(const aggregator::BatchPlan& plan,
                   std::set<std::pair<Place, std::int32_t>>& sent);
  std::string check_sent(const Tables& tables,
                         const std::set<std::pair<Place, std::int32_t>>& sent);
  std::string check_claims(const aggregator::BatchPlan& plan);
  void settle(const Place& place, std::int32_t home, std::int64_t row,
              const aggregator::BatchPlan& plan);
  void note_unknown(const Tables& tables);

  [[nodiscard]] std::int64_t stands_at(std::int32_t partition) const;
  [[nodiscard]] const Message& message_at(const Place& place) const;
  [[nodiscard]] std::int64_t log_time_us(const Place& place) const;
  [[nodiscard]] bool is_old(const Place& place) const;
  [[nodiscard]] bool is_late(const Settled& record, const Tables& tables) const;
  [[nodiscard]] Flaw flaw_of(const Settled& record) const;
  [[nodiscard]] std::string describe(const Settled& copy, const Tables& tables) const;
  [[nodiscard]] bool surely_before(const Settled& a, const Settled& b) const;
  [[nodiscard]] bool may_be_counted(const std::vector<Settled>& copies, std::size_t chosen,
                                    const Tables& tables) const;
  [[nodiscard]] Totals worth(const std::vector<Settled>& records, const Tables& tables) const;
  std::string judge_identity(const std::vector<Settled>& copies, const Tables& tables,
                             const Totals& actual, std::vector<Settled>& counted,
                             Coverage& coverage) const;
  std::string compare_ledger(const Tables& tables, std::int64_t counted) const;
  std::string compare_rejects(const Tables& tables) const;

  const SimLog* log_;
  const Workload* workload_;
  const Tenants* tenants_;
  AuditRules rules_;
  std::int64_t commits_ = 0;
  std::int64_t handed_on_ = 0;
  std::map<std::int32_t, std::int64_t> next_;     // by partition
  std::map<std::int32_t, std::int64_t> highest_;  // the highest next ever, restored or not
  std::map<std::int32_t, Sums> sums_;
  std::vector<Settled> settled_;
  std::set<Place> lost_;
  std::map<std::int64_t, std::pair<std::int32_t, std::vector<Place>>> waiting_;  // rows of handoff
  std::int64_t next_handoff_ = 1;
  std::int32_t partitions_ = 0;
  std::map<std::pair<std::uint64_t, std::uint64_t>, LogDay> claims_;  // the last day of each
};

}  // namespace tally::simulation
