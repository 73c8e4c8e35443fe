// tally-aggregator: the whole object graph, top to bottom.
#include "aggregator/commit_group.h"
#include "aggregator/environment.h"
#include "aggregator/kafka_source.h"
#include "aggregator/postgres_store.h"
#include "aggregator/probe.h"
#include "aggregator/worker.h"
#include "core/check.h"
#include "core/limits.h"
#include "runtime/config/settings.h"
#include "runtime/kafka/settings.h"
#include "runtime/lifecycle/allocator.h"
#include "runtime/lifecycle/health.h"
#include "runtime/lifecycle/lifecycle.h"
#include "runtime/lifecycle/listen.h"
#include "runtime/log/log.h"
#include "runtime/metrics/metrics.h"

#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using namespace tally;
using runtime::config::Kind;
using runtime::config::Option;

constexpr std::array kOptions = {
    Option{"brokers", Kind::kText, "127.0.0.1:9092",
           "Kafka's bootstrap servers, host:port separated by commas."},
    Option{"topic", Kind::kText, "usage.events", "The topic of usage events."},
    Option{"group", Kind::kText, "tally-aggregator",
           "The consumer group; offsets in it are a mirror for lag tools."},
    Option{"instance", Kind::kText, "",
           "A stable name of this instance (static membership): a restart within 10 s "
           "keeps its partitions. Empty: dynamic membership."},
    Option{"database", Kind::kText, "",
           "libpq connection string of Postgres; the password comes from PGPASSWORD or "
           "PGPASSFILE.",
           0, 0, true},
    Option{"workers", Kind::kInteger, "2",
           "Worker threads, each with its own consumer and connection; one more commits for all.",
           1, 64},
    Option{"commit-interval-ms", Kind::kInteger, "1000",
           "Milliseconds between commits; while a backlog is read, up to four times as many (at "
           "most 5 s).",
           10, 60'000},
    Option{"horizon-seconds", Kind::kInteger, "3024000",
           "Seconds that an identity is remembered, and after which an "
           "event is late (35 days).",
           60, core::kMaxDedupHorizonSeconds},
    Option{"future-bound-seconds", Kind::kInteger, "300",
           "Seconds that an event may be ahead of the log.", 0, core::kMaxFutureBoundSeconds},
    Option{"dedup-memory-mb", Kind::kInteger, "4096",
           "Megabytes of dedup memory, all workers together; what is beyond goes to cache-folder.",
           64, 1'000'000},
    Option{"cache-folder", Kind::kText, "",
           "Folder on a local disk for dedup memory beyond the budget; it may be lost, and makes "
           "restarts fast. Empty: everything stays in memory."},
    Option{"stall-limit-seconds", Kind::kInteger, "30",
           "Seconds without progress after which the service is not "
           "ready.",
           1, 3'600},
    Option{"listen", Kind::kText, "127.0.0.1:9464",
           "Address of /metrics, /healthz and /readyz; port 0 takes a free "
           "one."},
    Option{"listen-token", Kind::kText, "", "Bearer token that the listener requires; empty: none.",
           0, 0, false, true},
    Option{"port-file", Kind::kText, "", "Writes the listener's port to this file."},
};
constexpr std::array kFamilies = {runtime::kafka::kConsumerFamily};
constexpr std::array kCommands = {
    runtime::config::Command{
        "",
        "Counts usage events exactly once, from Kafka into Postgres.",
        kOptions,
        {},
        "tally-aggregator --brokers 127.0.0.1:9092 --database 'host=/run/postgresql dbname=tally'",
        kFamilies},
};

std::string owner_name(const runtime::config::Settings& settings, const std::string& worker) {
  const std::string instance = settings.text("instance");
  return (instance.empty() ? "pid " + std::to_string(getpid()) : instance) + ", worker " + worker;
}

aggregator::SessionSettings session_settings(const runtime::config::Settings& settings,
                                             const std::string& worker) {
  aggregator::SessionSettings session;
  session.topic = settings.text("topic");
  session.brokers = settings.text("brokers");
  session.owner = owner_name(settings, worker);
  session.commit_interval = std::chrono::milliseconds(settings.integer("commit-interval-ms"));
  session.horizon_seconds = settings.integer("horizon-seconds");
  session.future_bound_seconds = settings.integer("future-bound-seconds");
  session.stall_limit = std::chrono::seconds(settings.integer("stall-limit-seconds"));
  session.memory_budget_bytes = static_cast<std::size_t>(settings.integer("dedup-memory-mb")) *
                                1024 * 1024 / static_cast<std::size_t>(settings.integer("workers"));
  session.cache_folder = settings.text("cache-folder");
  return session;
}

runtime::kafka::ConsumerSettings consumer_settings(const runtime::config::Settings& settings,
                                                   const std::string& worker) {
  const std::string instance = settings.text("instance");
  runtime::kafka::ConsumerSettings kafka;
  kafka.brokers = settings.text("brokers");
  kafka.topic = settings.text("topic");
  kafka.group = settings.text("group");
  kafka.client_id = "tally-aggregator-" + worker;
  if (!instance.empty()) kafka.instance_id = instance + "-" + worker;
  kafka.extra =
      runtime::kafka::merged({{"fetch.message.max.bytes", "1048576"}, {"fetch.wait.max.ms", "10"}},
                             settings.family("kafka"));
  return kafka;
}

std::unique_ptr<aggregator::TotalsStore> committing_store(const runtime::config::Settings& settings,
                                                          runtime::metrics::Registry& registry) {
  aggregator::DimensionGuard guard(core::kMaxDimensionCombinations,
                                   aggregator::dimension_overflow_counter(registry));
  return std::make_unique<aggregator::PostgresStore>(settings.text("database"), "tally-aggregator",
                                                     aggregator::StoreObserver(), std::move(guard));
}

int run(const runtime::config::Settings& settings) {
  // SIGTERM drains: workers commit what they folded and leave the group.
  const runtime::lifecycle::StopSignal stop;
  // What the outside sees.
  runtime::metrics::Registry registry;
  std::vector<std::unique_ptr<aggregator::Probe>> probes;
  std::vector<aggregator::SessionSettings> sessions;
  for (std::int64_t i = 0; i < settings.integer("workers"); ++i) {
    probes.push_back(std::make_unique<aggregator::Probe>(registry, std::to_string(i)));
    sessions.push_back(session_settings(settings, std::to_string(i)));
  }
  const std::chrono::seconds stall_limit(settings.integer("stall-limit-seconds"));
  auto listen =
      runtime::lifecycle::listen_options(settings.text("listen"), settings.text("listen-token"));
  const runtime::lifecycle::HealthServer health(listen, registry, [&] {
    std::vector<std::string> reasons;
    for (const auto& probe : probes) {
      for (auto& reason : probe->reasons(aggregator::Probe::Clock::now(), stall_limit))
        reasons.push_back(std::move(reason));
    }
    return reasons;
  });
  runtime::lifecycle::write_port_file(settings.text("port-file"), health.port());
  runtime::log::info(
      "started", {{"health_port", static_cast<int>(health.port())}, {"workers", sessions.size()}});
  // Time and the wish to stop, the same for all workers.
  aggregator::StopPace pace(stop);
  // Where all workers' plans are committed.
  aggregator::CommitThread commits(
      committing_store(settings, registry),
      aggregator::longest_poll(std::chrono::milliseconds(settings.integer("commit-interval-ms"))));
  // What each worker reaches outside: every session makes its client and its connection from here.
  std::vector<aggregator::Environment> environments;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    aggregator::Probe& probe = *probes[i];
    environments.push_back({
        .source =
            [kafka = consumer_settings(settings, std::to_string(i))](
                auto& listener, aggregator::Membership membership) {
              auto joining = kafka;
              if (membership == aggregator::Membership::kNewMember) joining.instance_id.clear();
              return std::make_unique<aggregator::KafkaSource>(joining, listener);
            },
        .store =
            [conninfo = settings.text("database")] {
              return std::make_unique<aggregator::PostgresStore>(conninfo, "tally-aggregator");
            },
        .committer = [&commits, &probe] { return commits.join(probe); },
        .pace = pace,
        .new_token = aggregator::dedup::SegmentToken::random,
    });
  }
  std::vector<std::thread> workers;
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    workers.emplace_back(
        [&, i] { aggregator::run_worker(sessions[i], environments[i], *probes[i]); });
  }
  for (std::thread& worker : workers) worker.join();
  runtime::log::info("stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  runtime::lifecycle::keep_freed_memory();
  runtime::log::init("tally-aggregator");
  const auto parsed = runtime::config::parse("tally-aggregator", "Exactly-once usage aggregation.",
                                             kCommands, argc, argv);
  if (!parsed.settings) return parsed.exit_code;
  try {
    return run(*parsed.settings);
  } catch (const std::exception& failure) {
    runtime::log::error("failed", {{"reason", failure.what()}});
    return 1;
  }
}
