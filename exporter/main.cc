// tally-exporter: the whole object graph, top to bottom.
#include "exporter/account.h"
#include "exporter/doctor/doctor.h"
#include "exporter/exporter.h"
#include "exporter/outbox.h"
#include "exporter/planner.h"
#include "exporter/probe.h"
#include "exporter/stripe/meter_events.h"
#include "runtime/config/settings.h"
#include "runtime/lifecycle/health.h"
#include "runtime/lifecycle/lifecycle.h"
#include "runtime/lifecycle/listen.h"
#include "runtime/lifecycle/open_files.h"
#include "runtime/log/log.h"
#include "runtime/metrics/metrics.h"
#include "runtime/stripe/endpoint.h"

#include <array>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

namespace {

using namespace tally;
using runtime::config::Kind;
using runtime::config::Option;
using runtime::config::Settings;

constexpr int kWrongUsage = 2;  // the exit code

constexpr Option kDatabase{
    "database",
    Kind::kText,
    "",
    "libpq connection string of Postgres; the password comes from PGPASSWORD or PGPASSFILE.",
    0,
    0,
    true};
constexpr std::array kOptions = {
    kDatabase,
    Option{"once", Kind::kSwitch, "false",
           "Plan and send what is due now, print the account, and end."},
    Option{"dry-run", Kind::kSwitch, "false",
           "Print the rows that would be planned now; write and send nothing."},
    Option{"json", Kind::kSwitch, "false", "With --once or --dry-run: print JSON."},
    runtime::stripe::kUrlOption,
    runtime::stripe::kKeyOption,
    runtime::stripe::kTimeoutOption,
    Option{"interval-seconds", Kind::kInteger, "300", "Seconds from one export to the next.", 60,
           86'400},
    Option{"schedule", Kind::kText, "",
           "Instead of the interval: when exports begin, in UTC, as five fields of crontab(5): "
           "'*/10 * * * *' is each ten minutes. Also at start, and each 300 s while something is "
           "left to do."},
    Option{
        "until", Kind::kText, "",
        "Sends nothing from this time on and ends, such as 2026-12-01T00:50:00Z; empty: no end."},
    Option{"in-flight", Kind::kInteger, "32",
           "Requests to Stripe that are under way at once, each of another customer.", 1, 256},
    Option{"requests-per-second", Kind::kInteger, "980",
           "The most meter events sent in any second; Stripe takes 1,000 of a live account. 0: no "
           "limit but Stripe's answers.",
           0, 100'000},
    Option{"retry-window-seconds", Kind::kInteger, "60",
           "Seconds that a row is tried in one export before it is left for the next.", 1, 3'600},
    Option{"lock-wait-seconds", Kind::kInteger, "30",
           "With --once: seconds that another exporter of this database is waited for.", 0, 3'600},
    Option{"listen", Kind::kText, "127.0.0.1:9465",
           "Address of /metrics, /healthz and /readyz (not with --once); port 0 takes a free one."},
    Option{"listen-token", Kind::kText, "", "Bearer token that the listener requires; empty: none.",
           0, 0, false, true},
    Option{"port-file", Kind::kText, "", "Writes the listener's port to this file."},
};
constexpr std::array kDoctorOptions = {kDatabase, runtime::stripe::kUrlOption,
                                       runtime::stripe::kKeyOption, runtime::stripe::kTimeoutOption,
                                       Option{"json", Kind::kSwitch, "", "Print JSON."}};
constexpr std::array kCommands = {
    runtime::config::Command{
        "run",
        "Sends period totals to Stripe as meter events, each once.",
        kOptions,
        {},
        "tally-exporter run --once --database 'host=/run/postgresql dbname=tally'"},
    runtime::config::Command{
        "doctor",
        "Checks key, meters, clocks and database, and says what is missing; exit 1 when something "
        "is. Changes nothing.",
        kDoctorOptions,
        {},
        "tally-exporter doctor --database 'host=/run/postgresql dbname=tally'"},
};

exporter::Schedule schedule_of(const Settings& settings) {
  const std::string fields = settings.text("schedule");
  if (fields.empty())
    return exporter::Schedule::every(std::chrono::seconds(settings.integer("interval-seconds")));
  const auto schedule = exporter::Schedule::at(fields);
  if (!schedule)
    throw std::invalid_argument("--schedule '" + fields + "': " + schedule.error().message);
  return schedule.value();
}

exporter::ExporterSettings exporter_settings(const Settings& settings) {
  exporter::ExporterSettings result;
  result.conninfo = settings.text("database");
  result.in_flight = static_cast<std::size_t>(settings.integer("in-flight"));
  result.requests_per_second = settings.integer("requests-per-second");
  result.schedule = schedule_of(settings);
  if (const std::string until = settings.text("until"); !until.empty()) {
    const auto time = core::parse_rfc3339(until);
    if (!time) {
      throw std::invalid_argument("--until is " + until +
                                  ", which is no time as in RFC 3339: " + time.error().message);
    }
    result.until = time.value();
  }
  result.lock_wait = std::chrono::seconds(settings.integer("lock-wait-seconds"));
  result.sender.retry_window_seconds = settings.integer("retry-window-seconds");
  return result;
}

int dry_run(const Settings& settings) {
  exporter::PostgresStore store(settings.text("database"));
  const auto plan =
      exporter::plan_exports(store, exporter::system_now(), exporter::AfterRejection::kTryNow,
                             exporter::PlanMode::kDryRun);
  const std::string text =
      settings.enabled("json") ? exporter::plan_json(plan) : exporter::plan_text(plan);
  std::fputs(text.c_str(), stdout);
  return 0;
}

int doctor(const Settings& settings) {
  exporter::doctor::Settings wanted;
  wanted.conninfo = settings.text("database");
  wanted.stripe = runtime::stripe::given_in(settings);
  const auto findings = exporter::doctor::examine(wanted, exporter::system_now);
  const std::string text = settings.enabled("json") ? exporter::doctor::json_of(findings)
                                                    : exporter::doctor::text_of(findings);
  std::fputs(text.c_str(), stdout);
  if (!runtime::stripe::endpoint_of(wanted.stripe)) return kWrongUsage;
  return exporter::doctor::worst(findings) == exporter::doctor::Level::kFail ? 1 : 0;
}

int run(const Settings& settings) {
  // SIGTERM drains: answers that are under way are stored, nothing new is sent.
  const runtime::lifecycle::StopSignal stop;
  runtime::lifecycle::raise_open_files();
  if (settings.enabled("dry-run")) return dry_run(settings);
  // The way to Stripe, one for each request at once; a wrong URL is seen at start.
  const auto named = runtime::stripe::endpoint_of(runtime::stripe::given_in(settings));
  if (!named) {
    runtime::log::error("failed", {{"reason", named.error().message}});
    return kWrongUsage;
  }
  const runtime::stripe::Endpoint& endpoint = named.value();
  const exporter::ApiFactory apis = [endpoint] {
    return std::make_unique<exporter::stripe::MeterEvents>(endpoint);
  };
  // What the outside sees.
  runtime::metrics::Registry registry;
  const exporter::Schedule schedule = schedule_of(settings);
  const std::chrono::seconds retry(settings.integer("retry-window-seconds"));
  exporter::Probe probe(registry, [schedule, retry](core::Timestamp last) {
    return schedule.overdue_after(last, retry);
  });
  // The loop with its lock, connections and lanes.
  exporter::Exporter loop(exporter_settings(settings), apis, probe, stop);

  if (settings.enabled("once")) {
    const exporter::Account account = loop.run_once();
    const std::string text = settings.enabled("json") ? exporter::account_json(account)
                                                      : exporter::account_text(account);
    std::fputs(text.c_str(), stdout);
    return account.complete() ? 0 : 1;
  }
  const runtime::lifecycle::HealthServer health(
      runtime::lifecycle::listen_options(settings.text("listen"), settings.text("listen-token")),
      registry, [&] { return probe.reasons(exporter::system_now()); });
  runtime::lifecycle::write_port_file(settings.text("port-file"), health.port());
  runtime::log::info("started",
                     {{"health_port", static_cast<int>(health.port())},
                      {"stripe_url", endpoint.url},
                      {"next_export", core::to_rfc3339(schedule.next(exporter::system_now()))}});
  loop.run_scheduled();
  runtime::log::info("stopped");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  runtime::log::init("tally-exporter");
  const auto parsed = runtime::config::parse(
      "tally-exporter", "Sends usage to Stripe, each unit once.", kCommands, argc, argv);
  if (!parsed.settings) return parsed.exit_code;
  try {
    return parsed.settings->command() == "doctor" ? doctor(*parsed.settings)
                                                  : run(*parsed.settings);
  } catch (const std::invalid_argument& wrong) {
    runtime::log::error("failed", {{"reason", wrong.what()}});
    return kWrongUsage;
  } catch (const std::exception& failure) {
    runtime::log::error("failed", {{"reason", failure.what()}});
    return 1;
  }
}
