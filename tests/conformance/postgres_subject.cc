#include "tests/conformance/postgres_subject.h"

#include "admin/horizon.h"
#include "aggregator/postgres_store.h"
#include "core/catalogue.h"
#include "core/check.h"
#include "tests/conformance/relay.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace tally::conformance {

using aggregator::PostgresStore;
using aggregator::TotalsStore;
using runtime::postgres::Connection;
using runtime::postgres::Isolation;
using runtime::postgres::Rows;

namespace {

using namespace std::chrono_literals;

constexpr const char* kScratchDatabase = " dbname=";

// The commit of a connection that is to become a ghost hangs at its very end, with all its rows
// written and locked, until the control connection lets it go. Everybody else passes.
constexpr const char* kGhostSql = R"(
CREATE TABLE public.ghost (name text PRIMARY KEY);
CREATE FUNCTION public.hold_ghost() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = '60s' AS $$
BEGIN
  IF EXISTS (SELECT FROM public.ghost WHERE name = current_setting('application_name')) THEN
    PERFORM pg_advisory_xact_lock_shared(4711);
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER hold_ghost AFTER UPDATE ON tally.partition_state
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.hold_ghost();
)";

}  // namespace

class PostgresConnection final : public StoreConnection {
 public:
  PostgresConnection(PostgresSubject& subject, std::string name)
      : subject_(subject),
        name_(std::move(name)),
        relay_(subject.host_, subject.port_),
        store_(subject.conninfo_through(relay_.port()), name_,
               [this](StoreStep step) { reached(step); }) {}

  ~PostgresConnection() override {
    if (!thread_.joinable()) return;
    relay_.cut();
    move(std::nullopt);
    thread_.join();
  }
  PostgresConnection(const PostgresConnection&) = delete;
  PostgresConnection& operator=(const PostgresConnection&) = delete;

  void start(Call call) override {
    TALLY_CHECK(!thread_.joinable(), "a call of this connection is under way");
    place_ = Place::kStanding;
    moving_ = false;
    failure_ = nullptr;
    thread_ = std::thread([this, call = std::move(call)] {
      await_move();
      try {
        call(store_);
      } catch (...) {
        failure_ = std::current_exception();
      }
      const std::lock_guard lock(mutex_);
      place_ = Place::kFinished;
      changed_.notify_all();
    });
  }

  Halt run_to(StoreStep step) override { return go(step); }
  Halt finish() override { return go(std::nullopt); }
  [[nodiscard]] std::exception_ptr failure() const override { return failure_; }

  void time_out() override {
    std::unique_lock lock(mutex_);
    TALLY_CHECK(changed_.wait_for(lock, 20s, [this] { return place_ == Place::kFinished; }),
                "connection {} waits for more than its lock_timeout", name_);
    join(lock);
  }

  void cut() override {
    const std::int64_t process = subject_.backend(name_);
    relay_.cut();
    if (process != 0) {
      TALLY_CHECK(integration::eventually(
          subject_.control_,
          "NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = " + std::to_string(process) + ")"));
    }
    TALLY_CHECK(go(std::nullopt) == Halt::kFinished);
  }

  void lose_next_commit() override {
    TALLY_CHECK(subject_.ghost_ == 0, "one ghost at a time");
    subject_.control_.exec("INSERT INTO public.ghost VALUES ($1)", {name_});
    subject_.control_.exec("SELECT pg_advisory_lock(4711)");
    loses_commit_ = true;
  }

 private:
  enum class Place { kStanding, kRunning, kFinished };

  // On the thread of the call.
  void reached(StoreStep step) {
    {
      const std::lock_guard lock(mutex_);
      if (stop_at_ != step) return;
      place_ = Place::kStanding;
      moving_ = false;
      changed_.notify_all();
    }
    await_move();
  }
  void await_move() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return moving_; });
  }
  void move(std::optional<StoreStep> stop_at) {
    const std::lock_guard lock(mutex_);
    stop_at_ = stop_at;
    moving_ = true;
    if (place_ == Place::kStanding) place_ = Place::kRunning;
    changed_.notify_all();
  }
  void join(std::unique_lock<std::mutex>& lock) {
    lock.unlock();
    if (thread_.joinable()) thread_.join();
  }

  Halt go(std::optional<StoreStep> step) {
    move(step);
    std::unique_lock lock(mutex_);
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    for (;;) {
      changed_.wait_for(lock, 5ms, [this] { return place_ != Place::kRunning; });
      if (place_ == Place::kFinished) {
        join(lock);
        return Halt::kFinished;
      }
      if (place_ == Place::kStanding) return Halt::kAtStep;
      if (subject_.is_blocked(name_)) {
        if (!loses_commit_ || !subject_.waits_as_ghost(name_)) return Halt::kBlocked;
        loses_commit_ = false;
        subject_.ghost_ = subject_.backend(name_);
        subject_.control_.exec("DELETE FROM public.ghost");
        relay_.cut_client();
      }
      TALLY_CHECK(std::chrono::steady_clock::now() < deadline, "connection {} hangs", name_);
    }
  }

  PostgresSubject& subject_;
  std::string name_;
  Relay relay_;
  PostgresStore store_;
  std::thread thread_;
  bool loses_commit_ = false;
  std::exception_ptr failure_;  // written by the thread, read after it was joined
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<StoreStep> stop_at_;  // guarded by mutex_
  Place place_ = Place::kFinished;    // guarded by mutex_
  bool moving_ = false;               // guarded by mutex_
};

PostgresSubject::PostgresSubject() : control_(database_.migrated()) {
  const Rows address = control_.exec(
      "SELECT coalesce(host(inet_server_addr()), ''), coalesce(inet_server_port(), 0)");
  host_ = address.text(0, 0);
  port_ = static_cast<std::uint16_t>(address.int64(0, 1));
  TALLY_CHECK(port_ != 0, "TALLY_TEST_PG must lead over TCP: the relay stands in between");
  auto transaction = control_.begin();
  transaction.exec(kGhostSql);
  transaction.commit();
}

PostgresSubject::~PostgresSubject() = default;

std::string PostgresSubject::conninfo_through(std::uint16_t port) const {
  // The later of two equal keywords counts.
  return std::string(std::getenv("TALLY_TEST_PG")) + kScratchDatabase + database_.name() +
         " host=127.0.0.1 port=" + std::to_string(port);
}

std::unique_ptr<StoreConnection> PostgresSubject::connect() {
  return std::make_unique<PostgresConnection>(*this,
                                              "connection_" + std::to_string(++connections_));
}

std::int64_t PostgresSubject::backend(const std::string& name) {
  const Rows row = control_.exec(
      "SELECT coalesce(max(pid), 0)::bigint FROM pg_stat_activity WHERE datname = "
      "current_database() AND application_name = $1 AND pid <> $2::integer",
      {name, std::to_string(ghost_)});
  return row.int64(0, 0);
}

bool PostgresSubject::is_blocked(const std::string& name) {
  const std::int64_t process = backend(name);
  if (process == 0) return false;
  return control_
      .exec("SELECT cardinality(pg_blocking_pids($1::integer)) > 0", {std::to_string(process)})
      .boolean(0, 0);
}

bool PostgresSubject::waits_as_ghost(const std::string& name) {
  return control_
      .exec("SELECT pg_backend_pid() = ANY (pg_blocking_pids($1::integer))",
            {std::to_string(backend(name))})
      .boolean(0, 0);
}

void PostgresSubject::end_ghost(GhostEnd end) {
  TALLY_CHECK(ghost_ != 0, "there is no ghost");
  const std::string process = std::to_string(ghost_);
  if (end == GhostEnd::kAborts) {
    control_.exec("SELECT pg_terminate_backend($1::integer)", {process});
  } else {
    control_.exec("SELECT pg_advisory_unlock(4711)");
  }
  TALLY_CHECK(integration::eventually(
      control_, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = " + process +
                    " AND state = 'active')"));
  if (end == GhostEnd::kAborts) control_.exec("SELECT pg_advisory_unlock(4711)");
  ghost_ = 0;
}

void PostgresSubject::change_catalogue(const std::vector<core::Meter>& meters) {
  auto transaction = control_.begin();
  transaction.exec("UPDATE tally.catalogue_version SET version = version + 1");
  transaction.exec("DELETE FROM tally.meter");
  for (const core::Meter& meter : meters) {
    transaction.exec(
        "INSERT INTO tally.meter (slug, event_type, aggregation, definition, created_version) "
        "SELECT $1, $2, $3, $4, version FROM tally.catalogue_version",
        {meter.slug, meter.event_type, std::string(core::to_string(meter.aggregation)),
         core::meter_definition(meter)});
  }
  transaction.commit();
}

void PostgresSubject::change_horizon(std::int64_t horizon_seconds,
                                     std::int64_t future_bound_seconds) {
  std::ostringstream said;
  const auto done = admin::set_horizon(
      control_, {horizon_seconds, future_bound_seconds, admin::HorizonMode::kApply}, said);
  TALLY_CHECK(done.has_value());
}

void PostgresSubject::readmit(core::PartitionId home, std::int64_t records,
                              const std::string& block) {
  control_.exec(
      "INSERT INTO tally.handoff (source, home, partitions, records, block, readmission) "
      "SELECT $1::integer, $1::integer, partitions, $2::bigint, $3::bytea, true "
      "FROM tally.deployment",
      {std::to_string(home.value()), std::to_string(records), runtime::postgres::Bytes{block}});
}

namespace {

void read_states(runtime::postgres::Transaction& snapshot, StoredBook& book) {
  const Rows rows = snapshot.exec(
      "SELECT partition, epoch, generation, base_offset, next_offset, last_offset, "
      "(extract(epoch FROM last_log_time) * 1000000)::bigint FROM tally.partition_state");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    StoredPartition& state =
        book.states[core::PartitionId(static_cast<std::int32_t>(rows.int64(i, 0)))];
    state.epoch = core::Epoch(rows.int64(i, 1));
    state.generation = core::Generation(rows.int64(i, 2));
    state.base = core::Offset(rows.int64(i, 3));
    state.next = core::Offset(rows.int64(i, 4));
    if (!rows.is_null(i, 5)) state.last_offset = core::Offset(rows.int64(i, 5));
    if (!rows.is_null(i, 6)) state.last_log_time = core::Timestamp::from_micros(rows.int64(i, 6));
  }
}

void read_ledger(runtime::postgres::Transaction& snapshot, StoredBook& book) {
  const Rows rows = snapshot.exec(
      "SELECT partition, log_day - DATE '1970-01-01', consumed, received, handed_off, counted, "
      "readmitted, skipped FROM tally.ledger");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto& line = book.ledger[{core::PartitionId(static_cast<std::int32_t>(rows.int64(i, 0))),
                              static_cast<LogDay>(rows.int64(i, 1))}];
    for (std::size_t column = 2; column < 8; ++column) line.push_back(rows.int64(i, column));
  }
}

std::size_t read_identities(runtime::postgres::Transaction& snapshot, const std::string& table,
                            StoredBook& book) {
  const Rows rows = snapshot.exec(
      "SELECT partition, log_day - DATE '1970-01-01', partitions, entries FROM tally." + table);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto& identities = book.identities[{
        core::PartitionId(static_cast<std::int32_t>(rows.int64(i, 0))),
        static_cast<LogDay>(rows.int64(i, 1)), static_cast<std::int32_t>(rows.int64(i, 2))}];
    const std::string bytes = rows.bytes(i, 3);
    const std::size_t before = identities.size();
    identities.resize(before + (bytes.size() / sizeof(core::DedupEntry)));
    std::memcpy(identities.data() + before, bytes.data(), bytes.size());
  }
  return rows.size();
}

void read_handoffs(runtime::postgres::Transaction& snapshot, StoredBook& book) {
  const Rows rows =
      snapshot.exec("SELECT id, source, home, records, block FROM tally.handoff ORDER BY id");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    book.handoffs.push_back({core::HandoffId(rows.int64(i, 0)),
                             core::PartitionId(static_cast<std::int32_t>(rows.int64(i, 1))),
                             core::PartitionId(static_cast<std::int32_t>(rows.int64(i, 2))),
                             rows.int64(i, 3), rows.bytes(i, 4)});
  }
}

aggregator::RejectClass reject_class_of(std::string_view text) {
  using aggregator::RejectClass;
  for (const RejectClass one :
       {RejectClass::kRejected, RejectClass::kConflict, RejectClass::kLate, RejectClass::kMeter}) {
    if (to_string(one) == text) return one;
  }
  throw std::runtime_error("tally.reject: class " + std::string(text));
}

void read_rejects(runtime::postgres::Transaction& snapshot, StoredBook& book) {
  const Rows rows = snapshot.exec(
      "SELECT partition, record_offset, meter, class, reason, verdicts FROM tally.reject");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    book.rejects[{core::PartitionId(static_cast<std::int32_t>(rows.int64(i, 0))),
                  core::Offset(rows.int64(i, 1)), std::string(rows.text(i, 2))}] = {
        reject_class_of(rows.text(i, 3)), std::string(rows.text(i, 4)), rows.int64(i, 5)};
  }
}

}  // namespace

StoredBook PostgresSubject::read() {
  auto snapshot = control_.begin(Isolation::kRepeatableRead);
  StoredBook book;
  const Rows deployment =
      snapshot.exec("SELECT coalesce(partitions, 0), generation FROM tally.deployment");
  book.partitions = static_cast<std::int32_t>(deployment.int64(0, 0));
  book.generation = core::Generation(deployment.int64(0, 1));
  read_states(snapshot, book);
  read_ledger(snapshot, book);
  book.small_segments = read_identities(snapshot, "dedup_segment", book);
  book.rolled_up = read_identities(snapshot, "dedup_rollup", book);
  for (auto& [place, identities] : book.identities) {
    std::sort(identities.begin(), identities.end());
  }
  read_handoffs(snapshot, book);
  const Rows usage = snapshot.exec(
      "SELECT tenant, meter, sum(quantity)::text FROM tally.usage_window GROUP BY tenant, meter");
  for (std::size_t i = 0; i < usage.size(); ++i) {
    book.usage[{std::string(usage.text(i, 0)), std::string(usage.text(i, 1))}] = usage.text(i, 2);
  }
  read_rejects(snapshot, book);
  return book;
}

}  // namespace tally::conformance
