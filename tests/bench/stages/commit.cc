// Whole commits into a real Postgres. The first one of a plan inserts its windows and is not timed;
// those that are timed add to windows that are there, which is what nearly all commits do.
#include "admin/apply.h"
#include "aggregator/postgres_store.h"
#include "aggregator/record_digest.h"
#include "core/check.h"
#include "tests/bench/stages/folded.h"
#include "tests/bench/stages/stage.h"
#include "tests/bench/stages/stages.h"
#include "tests/integration/postgres/scratch_database.h"

#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>

namespace tally::bench {
namespace {

using aggregator::BatchPlan;
using aggregator::CommitOutcome;
using aggregator::PostgresStore;

constexpr const char* kTopic = "bench.events";

class CommitRig {
 public:
  explicit CommitRig(const Material& material)
      : store_(prepared(material) + " dbname=" + database_.name(), "stages") {
    aggregator::Deployment deployment =
        store_.open({kTopic, kRules.partitions, kHorizonSeconds, kFutureBoundSeconds});
    hasher_ = std::make_unique<core::IdentityHasher>(deployment.identity_key);
    aggregator::AcquireRequest request;
    request.partition = core::PartitionId(0);
    request.generation = deployment.generation;
    request.partitions = deployment.partitions;
    request.owner = "stages";
    request.memory.horizon_days = aggregator::remembered_days(kRules);
    const auto partition = store_.acquire(request);
    TALLY_CHECK(partition != nullptr);

    const Records records = material.structured();
    aggregator::Fold fold(deployment.meters, *hasher_, kRules, deployment.tenants);
    plan_.topic = kTopic;
    plan_.meters = deployment.meters;
    fold_into(plan_, records, fold, *partition);
    plan_.partitions.at(partition->id).last_digest = aggregator::record_digest(records.back());
    events_ = records.size();
    name_segments();
    commit();
  }

  // The same plan once more, from where the last one ended.
  void move_on() {
    for (auto& [partition, advance] : plan_.partitions) {
      const std::int64_t next = advance.next.value() + static_cast<std::int64_t>(events_);
      advance.start = advance.next;
      advance.next = core::Offset(next);
      advance.last_offset = core::Offset(next - 1);
    }
    name_segments();
  }
  void commit() {
    const CommitOutcome outcome = store_.commit(plan_);
    TALLY_CHECK(outcome == CommitOutcome::kCommitted, "outcome {}", static_cast<int>(outcome));
  }
  [[nodiscard]] std::size_t events() const { return events_; }

 private:
  // With the schema and the catalogue; the server's conninfo.
  std::string prepared(const Material& material) {
    auto connection = database_.migrated();
    std::ostringstream said;
    const auto applied = admin::apply_text(connection, material.catalogue(), {}, said);
    TALLY_CHECK(applied.has_value(), "{}", applied.error().message);
    return std::getenv("TALLY_TEST_PG");
  }
  void name_segments() {
    for (auto& [where, segment] : plan_.segments) {
      segment.token = aggregator::dedup::SegmentToken::random();
    }
  }

  integration::ScratchDatabase database_;
  PostgresStore store_;
  std::unique_ptr<core::IdentityHasher> hasher_;
  BatchPlan plan_;
  std::size_t events_ = 0;
};

// Made on first use; gone with the benchmarks that share them.
using Rigs = std::map<std::string_view, CommitRig>;

void commit(benchmark::State& state, const PlanShape& shape, Rigs& rigs) {
  if (std::getenv("TALLY_TEST_PG") == nullptr) {
    state.SkipWithError("there is no Postgres: run ./dev bench stages, which starts one");
    return;
  }
  CommitRig& rig = rigs.try_emplace(shape.name, material_of(shape)).first->second;
  state.counters[kWallTime] = 1;
  Stage stage(state, kMemcpy, allocated_by_all);  // the text of most rows is made on another thread
  for ([[maybe_unused]] auto _ : state) {
    stage.aside([&] { rig.move_on(); });
    rig.commit();
    stage.handled(rig.events());
  }
}

}  // namespace

void add_commit() {
  const auto rigs = std::make_shared<Rigs>();
  const auto add = [&rigs](const PlanShape& shape, int commits) {
    benchmark::RegisterBenchmark((std::string("commit/") + shape.name).c_str(), [shape, rigs](
                                                                                    auto& state) {
      commit(state, shape, *rigs);
    })->Iterations(commits);
  };
  add(kFewRows, 5);
  add(kManyRows, 1);
}

}  // namespace tally::bench
