// Fills a database with the dedup memory of a long life: random identities, spread over the
// partitions and over the days before today, written as commits write them and joined as the
// aggregator joins them. What it came to goes to stdout as one line of JSON.
//
// The partitions must have been claimed by an aggregator, which must not run any more.
#include "aggregator/commit.h"
#include "aggregator/postgres_store.h"
#include "core/check.h"
#include "core/ids.h"
#include "runtime/config/settings.h"
#include "runtime/postgres/connection.h"
#include "runtime/terminal/progress.h"
#include "tests/support/generator/random.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace tally;
using generator::Random;
using runtime::config::Kind;
using runtime::config::Option;
using runtime::postgres::Connection;

constexpr const char* kName = "seed_memory";
constexpr std::int64_t kMostInSegment = 20'000;  // what a busy commit claims in one partition

constexpr std::array kOptions = {
    Option{.name = "database", .sentence = "libpq connection string.", .required = true},
    Option{"identities", Kind::kInteger, "100000000", "How many, all partitions together.", 1,
           2'000'000'000},
    Option{"days", Kind::kInteger, "30", "Over how many days, the last of them yesterday.", 1, 200},
    Option{"seed", Kind::kInteger, "1", "Other identities.", 0, 2'000'000'000},
    Option{"threads", Kind::kInteger, "2", "Partitions filled side by side.", 1, 64},
};
constexpr std::array kCommands = {
    runtime::config::Command{"",
                             "Fills the dedup memory of a database.",
                             kOptions,
                             {},
                             "seed_memory --database 'dbname=tally' --identities 2000000"},
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

struct Claims {
  std::vector<aggregator::PartitionClaim> of_partition;
  std::int32_t partitions = 0;
};

Claims read_claims(Connection& database) {
  const auto topology = database.exec("SELECT partitions FROM tally.deployment");
  if (topology.size() != 1) {
    throw std::runtime_error("no aggregator has claimed this database: run one on the topic first");
  }
  Claims claims;
  claims.partitions = static_cast<std::int32_t>(topology.int64(0, 0));
  const auto rows = database.exec(
      "SELECT partition, epoch, generation FROM tally.partition_state ORDER BY partition");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    claims.of_partition.push_back({core::PartitionId(static_cast<std::int32_t>(rows.int64(i, 0))),
                                   core::Epoch(rows.int64(i, 1)),
                                   core::Generation(rows.int64(i, 2))});
  }
  if (claims.of_partition.size() != static_cast<std::size_t>(claims.partitions)) {
    throw std::runtime_error(
        fmt::format("{} of {} partitions were claimed: run an aggregator on "
                    "the topic until it is ready",
                    claims.of_partition.size(), claims.partitions));
  }
  return claims;
}

class Seeder {
 public:
  explicit Seeder(const runtime::config::Settings& settings)
      : conninfo_(settings.text("database")),
        identities_(settings.integer("identities")),
        days_(settings.integer("days")),
        seed_(static_cast<std::uint64_t>(settings.integer("seed"))),
        threads_(settings.integer("threads")) {}

  void run() {
    const auto started = std::chrono::steady_clock::now();
    Connection database(conninfo_, kName);
    claims_ = read_claims(database);
    prepare_days(database);
    in_threads();
    const double written = seconds_since(started);
    database.exec("VACUUM (ANALYZE) tally.dedup_segment, tally.dedup_rollup");
    report(database, written, seconds_since(started));
  }

 private:
  void prepare_days(Connection& database) {
    today_ = static_cast<aggregator::LogDay>(
        database.exec("SELECT (now() AT TIME ZONE 'UTC')::date - DATE '1970-01-01'").int64(0, 0));
    for (std::int64_t back = 1; back <= days_; ++back) {
      database.exec("SELECT tally.ensure_dedup_day(DATE '1970-01-01' + $1::integer)",
                    {std::to_string(today_ - back)});
    }
  }

  void in_threads() {
    std::vector<std::thread> threads;
    working_ = threads_;  // before there is a thread
    for (std::int64_t i = 0; i < threads_; ++i) threads.emplace_back([this] { work(); });
    runtime::terminal::Progress progress("seeding", static_cast<std::uint64_t>(identities_));
    std::unique_lock lock(mutex_);
    while (
        !ended_.wait_for(lock, std::chrono::milliseconds(100), [this] { return working_ == 0; })) {
      const auto done = static_cast<std::uint64_t>(written_.load());
      progress.update(done, done, runtime::terminal::grouped(done) + " identities");
    }
    lock.unlock();
    for (std::thread& thread : threads) thread.join();
    const auto done = static_cast<std::uint64_t>(written_.load());
    progress.finish(done, done, runtime::terminal::grouped(done) + " identities, joined");
    if (failure_) std::rethrow_exception(failure_);
  }

  void work() {
    try {
      Connection database(conninfo_, kName);
      aggregator::PostgresStore store(conninfo_, kName);
      for (;;) {
        const std::size_t next = next_.fetch_add(1);
        if (next >= claims_.of_partition.size()) break;
        const auto& claim = claims_.of_partition[next];
        fill(claim.partition, database);
        if (store.roll_up(claim) == aggregator::RollUp::kFenced) {
          throw std::runtime_error("an aggregator took a partition over: stop it first");
        }
      }
    } catch (...) {
      const std::scoped_lock lock(mutex_);
      if (!failure_) failure_ = std::current_exception();
      next_ = claims_.of_partition.size();
    }
    const std::scoped_lock lock(mutex_);
    --working_;
    ended_.notify_all();
  }

  // Part number `at` of `parts` parts of `whole` that differ by one at most.
  static std::int64_t part(std::int64_t whole, std::int64_t at, std::int64_t parts) {
    return whole * (at + 1) / parts - whole * at / parts;
  }

  void fill(core::PartitionId partition, Connection& database) {
    Random random(seed_ << 16U ^ static_cast<std::uint64_t>(partition.value()));
    const std::int64_t here = part(identities_, partition.value(), claims_.partitions);
    for (std::int64_t day = 0; day < days_; ++day) {
      const auto log_day = static_cast<aggregator::LogDay>(today_ - days_ + day);
      const std::int64_t of_day = part(here, day, days_);
      const auto most =
          static_cast<std::uint64_t>(std::clamp(of_day / 8, std::int64_t{1}, kMostInSegment));
      for (std::int64_t left = of_day; left > 0;) {
        const auto wanted = static_cast<std::int64_t>(most - random.below(most * 3 / 4 + 1));
        const std::int64_t size = std::min(left, wanted);
        write_one(partition, log_day, size, random, database);
        left -= size;
        written_ += size;
      }
    }
  }

  void write_one(core::PartitionId partition, aggregator::LogDay day, std::int64_t size,
                 Random& random, Connection& database) const {
    aggregator::BatchPlan plan;
    plan.topic_partitions = claims_.partitions;
    aggregator::Segment& segment = plan.segments[{partition, day}];
    const std::array<std::uint64_t, 2> token = {random.next(), random.next()};
    std::memcpy(segment.token.bytes.data(), token.data(), sizeof(token));
    segment.entries.reserve(static_cast<std::size_t>(size));
    for (std::int64_t i = 0; i < size; ++i) segment.entries.push_back(entry(partition, random));
    auto transaction = database.begin();
    aggregator::write_segments(plan, transaction);
    transaction.commit();
  }

  // Any bits but those of the home, which must be this partition's.
  [[nodiscard]] core::DedupEntry entry(core::PartitionId partition, Random& random) const {
    constexpr unsigned kDigestBitsInHi = 64U - static_cast<unsigned>(core::kHomeBits);
    constexpr std::uint64_t kHighest = (std::uint64_t{1} << unsigned{core::kHomeBits}) - 1;
    const auto partitions = static_cast<std::uint64_t>(claims_.partitions);
    const std::uint64_t bits = random.next();
    std::uint64_t home = bits >> kDigestBitsInHi;
    home = home / partitions * partitions + static_cast<std::uint64_t>(partition.value());
    if (home > kHighest) home -= partitions;
    const std::uint64_t digest = bits & ((std::uint64_t{1} << kDigestBitsInHi) - 1);
    return {home << kDigestBitsInHi | digest, random.next()};
  }

  void report(Connection& database, double written, double all) const {
    const auto sizes = database.exec(
        "SELECT sum(pg_total_relation_size(inhrelid))::bigint FROM pg_inherits WHERE inhparent IN "
        "('tally.dedup_segment'::regclass, 'tally.dedup_rollup'::regclass)");
    const auto rows = database.exec(
        "SELECT (SELECT coalesce(sum(entry_count), 0) FROM tally.dedup_segment) + "
        "(SELECT coalesce(sum(entry_count), 0) FROM tally.dedup_rollup), "
        "(SELECT count(*) FROM tally.dedup_segment), (SELECT count(*) FROM tally.dedup_rollup)");
    const std::int64_t stored = rows.int64(0, 0);
    TALLY_CHECK(stored == identities_, "{} identities are stored of {}", stored, identities_);
    fmt::print(
        R"({{"identities":{},"bytes":{},"bytes_per_identity":{:.3f},"segments":{},"rollups":{},)"
        R"("seconds_written":{:.1f},"seconds":{:.1f}}})"
        "\n",
        stored, sizes.int64(0, 0),
        static_cast<double>(sizes.int64(0, 0)) / static_cast<double>(stored), rows.int64(0, 1),
        rows.int64(0, 2), written, all);
  }

  std::string conninfo_;
  std::int64_t identities_;
  std::int64_t days_;
  std::uint64_t seed_;
  std::int64_t threads_;
  Claims claims_;
  aggregator::LogDay today_ = 0;
  std::atomic<std::size_t> next_{0};  // partition
  std::atomic<std::int64_t> written_{0};
  std::mutex mutex_;
  std::condition_variable ended_;
  std::int64_t working_ = 0;    // guarded by mutex_
  std::exception_ptr failure_;  // guarded by mutex_ until the threads are joined
};

}  // namespace

int main(int argc, char** argv) {
  const auto parsed =
      runtime::config::parse(kName, "Fills the dedup memory of a database.", kCommands, argc, argv);
  if (!parsed.settings) return parsed.exit_code;
  try {
    Seeder(*parsed.settings).run();
    return 0;
  } catch (const std::exception& failure) {
    fmt::print(stderr, "{}: {}\n", kName, failure.what());
    return 1;
  }
}
