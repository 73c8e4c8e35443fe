// tally-admin: one command, one connection, one sentence when it fails.
#include "admin/apply.h"
#include "admin/catalogue_store.h"
#include "admin/horizon.h"
#include "admin/log_time.h"
#include "admin/migrations.h"
#include "admin/rejects.h"
#include "admin/replay.h"
#include "admin/stripe_setup.h"
#include "admin/tenants.h"
#include "admin/verify.h"
#include "core/limits.h"
#include "core/timestamp.h"
#include "runtime/config/settings.h"
#include "runtime/postgres/connection.h"
#include "runtime/stripe/endpoint.h"
#include "runtime/stripe/patient.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>
#include <limits>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <unistd.h>

namespace {

using namespace tally;
using core::Error;
using core::ErrorKind;
using core::Result;
using runtime::config::Command;
using runtime::config::Kind;
using runtime::config::Option;
using runtime::config::Positional;
using runtime::config::Settings;
using runtime::postgres::Connection;

constexpr Option kDatabase{"database",
                           Kind::kText,
                           "",
                           "libpq connection string of Postgres; the password comes from "
                           "PGPASSWORD or PGPASSFILE.",
                           0,
                           0,
                           true};
constexpr std::array kMigrateOptions = {
    kDatabase,
    Option{"check", Kind::kSwitch, "", "Only compare: exit 1 when a migration is missing."},
    Option{
        "force", Kind::kSwitch, "",
        "Migrate while aggregators or exporters are connected; the books may be off afterwards."}};
constexpr std::array kApplyOptions = {
    kDatabase, Option{"dry-run", Kind::kSwitch, "", "Show and check, store nothing."},
    Option{"full", Kind::kSwitch, "", "Show every line of the difference."}};
constexpr std::array kApplyFile = {Positional{"FILE", "catalogue.json"}};
constexpr std::array kDatabaseOnly = {kDatabase};
constexpr std::array kTenantAddOptions = {
    kDatabase,
    Option{"name", Kind::kText, "", "The tenant's name; its id unless given."},
    Option{"time-zone", Kind::kText, "UTC", "Where its days and months begin: Europe/Berlin."},
    Option{"plan", Kind::kText, "", "Slug of a stored plan; none unless given."},
    Option{"status", Kind::kText, "active", "active, trialing, past_due or canceled."},
    Option{"stripe-customer", Kind::kText, "", "Stripe's customer id; none unless given."}};
constexpr std::array kTenantId = {
    Positional{"ID", "The tenant's id, as events name it (subject)."}};
constexpr std::array kRejectsOptions = {
    kDatabase, Option{"reason", Kind::kText, "", "Only this reason."},
    Option{"class", Kind::kText, "", "Only rejected, conflict, late or meter."},
    Option{"limit", Kind::kInteger, "50", "Rows at most, the newest first.", 1, 1'000'000},
    Option{"json", Kind::kSwitch, "", "A JSON object per line, with the record's bytes in hex."}};
constexpr std::array kReplayOptions = {
    kDatabase,
    Option{"class", Kind::kText, "", "Only late or only rejected; both unless given."},
    Option{"reason", Kind::kText, "", "Only this reason."},
    Option{"tenant", Kind::kText, "", "Only this tenant."},
    Option{"from", Kind::kText, "", "Only what came then or later by the log: RFC 3339."},
    Option{"to", Kind::kText, "", "Only what came before then by the log: RFC 3339."},
    Option{"limit", Kind::kInteger, "100000", "Records to replay at most.", 1, 1'000'000'000},
    Option{"unchecked", Kind::kSwitch, "",
           "Replay also what is older than the dedup memory; it may be counted twice."},
    Option{
        "again", Kind::kSwitch, "",
        "Replay also what was replayed before; what was counted then is a duplicate now, and with "
        "--unchecked is left alone."},
    Option{"apply", Kind::kSwitch, "", "Do it; without it only show what would be done."},
    Option{"json", Kind::kSwitch, "", "A JSON object per line."}};
constexpr std::array kHorizonOptions = {
    kDatabase,
    Option{"horizon-seconds", Kind::kInteger, "",
           "Seconds that an identity is remembered, and after which an event is late.", 60,
           core::kMaxDedupHorizonSeconds, true},
    Option{"future-bound-seconds", Kind::kInteger, "",
           "Seconds that an event may be ahead of the log; stays as it is unless given.", 0,
           core::kMaxFutureBoundSeconds},
    Option{"apply", Kind::kSwitch, "", "Do it; without it only show what would be done."}};

constexpr std::array kLogTimeSetOptions = {
    kDatabase,
    Option{"partition", Kind::kInteger, "", "The partition whose records are stamped ahead.", 0,
           core::kMaxPartitions - 1, true},
    Option{"before-offset", Kind::kInteger, "",
           "Only records before this offset: the first that the broker stamped right again, or the "
           "end of the log.",
           1, std::numeric_limits<std::int64_t>::max(), true},
    Option{"ceiling", Kind::kText, "",
           "What is stamped later counts as stamped then: RFC 3339; the database's time now unless "
           "given. It must be given where what waits may be more than a day old."},
    Option{"apply", Kind::kSwitch, "", "Do it; without it only show what would be done."}};
constexpr std::array kLogTimeListOptions = {
    kDatabase, Option{"json", Kind::kSwitch, "", "A JSON object per line."}};

constexpr std::array kStripeApplyOptions = {
    kDatabase,
    runtime::stripe::kUrlOption,
    runtime::stripe::kKeyOption,
    runtime::stripe::kTimeoutOption,
    Option{"dry-run", Kind::kSwitch, "", "Show and check, create nothing."},
    Option{"yes", Kind::kSwitch, "", "Create without asking."},
    Option{"json", Kind::kSwitch, "", "One JSON object; needs --yes or --dry-run."}};

constexpr std::array kCommands = {
    Command{"migrate",
            "Brings the database's schema up to date.",
            kMigrateOptions,
            {},
            "tally-admin migrate --database 'host=/run/postgresql dbname=tally'"},
    Command{"apply", "Stores a catalogue of meters, plans and tenants.", kApplyOptions, kApplyFile,
            "tally-admin apply --dry-run catalogue.json"},
    Command{"tenant-list",
            "Lists the tenants (also: tenant list).",
            kDatabaseOnly,
            {},
            "tally-admin tenant list"},
    Command{"tenant-add", "Adds one tenant (also: tenant add).", kTenantAddOptions, kTenantId,
            "tally-admin tenant add acme --plan pro --time-zone Europe/Berlin"},
    Command{"rejects-list",
            "Lists records that were not counted (also: rejects list).",
            kRejectsOptions,
            {},
            "tally-admin rejects list --class conflict --json"},
    Command{"rejects-replay",
            "Gives late and rejected records to the aggregator again (also: rejects replay).",
            kReplayOptions,
            {},
            "tally-admin rejects replay --class late --tenant acme --apply"},
    Command{"horizon-set",
            "Changes how long identities are remembered, for all aggregators (also: horizon set).",
            kHorizonOptions,
            {},
            "tally-admin horizon set --horizon-seconds 3024000 --apply"},
    Command{"log-time-set",
            "Counts what a broker's wrong clock stamped too far ahead (also: log-time set).",
            kLogTimeSetOptions,
            {},
            "tally-admin log-time set --partition 2 --before-offset 120034 --apply"},
    Command{"log-time-list",
            "Lists what log-time set was asked for (also: log-time list).",
            kLogTimeListOptions,
            {},
            "tally-admin log-time list"},
    Command{"stripe-apply",
            "Gives Stripe the billing meters of the stored catalogue (also: stripe apply).",
            kStripeApplyOptions,
            {},
            "tally-admin stripe apply --dry-run"},
    Command{"verify",
            "Adds the books up a second way; exit 1 when they are off.",
            kDatabaseOnly,
            {},
            "tally-admin verify"},
};

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return core::invalid(fmt::format("cannot read {}: does the file exist?", path));
  std::ostringstream text;
  text << file.rdbuf();
  if (file.bad()) return core::invalid(fmt::format("reading {} failed", path));
  return std::move(text).str();
}

Result<void> apply(Connection& connection, const Settings& settings, const std::string& text) {
  admin::ApplyOptions options;
  if (settings.enabled("dry-run")) options.mode = admin::ApplyMode::kDryRun;
  if (settings.enabled("full")) options.detail = admin::Detail::kFull;
  auto result = admin::apply_text(connection, text, options, std::cout);
  if (result) return result;
  return Error{result.error().kind, settings.text("FILE") + ": " + result.error().message};
}

core::Tenant tenant_of(const Settings& settings) {
  core::Tenant tenant;
  tenant.id = settings.text("ID");
  tenant.name = settings.has("name") ? settings.text("name") : tenant.id;
  tenant.time_zone = settings.text("time-zone");
  tenant.plan = settings.text("plan");
  tenant.status = settings.text("status");
  if (settings.has("stripe-customer")) tenant.stripe_customer = settings.text("stripe-customer");
  return tenant;
}

// Unset stays unset.
Result<void> read_moment(const Settings& settings, std::string_view name,
                         std::optional<core::Timestamp>& moment) {
  if (!settings.has(name)) return boost::outcome_v2::success();
  const auto parsed = core::parse_rfc3339(settings.text(name));
  if (!parsed) return core::invalid(fmt::format("--{}: {}", name, parsed.error().message));
  moment = parsed.value();
  return boost::outcome_v2::success();
}

admin::Format format_of(const Settings& settings) {
  return settings.enabled("json") ? admin::Format::kJson : admin::Format::kTable;
}

Result<void> replay(Connection& connection, const Settings& settings) {
  admin::ReplayRequest request;
  request.record_class = settings.text("class");
  request.reason = settings.text("reason");
  request.tenant = settings.text("tenant");
  if (auto good = read_moment(settings, "from", request.from); !good) return good;
  if (auto good = read_moment(settings, "to", request.to); !good) return good;
  if (request.from && request.to && *request.from >= *request.to) {
    return core::invalid("--from must be before --to: no record lies between " +
                         core::to_rfc3339(*request.from) + " and " + core::to_rfc3339(*request.to));
  }
  request.limit = settings.integer("limit");
  if (settings.enabled("unchecked")) request.memory_check = admin::MemoryCheck::kWaived;
  if (settings.enabled("again")) request.repetition = admin::Repetition::kOften;
  if (settings.enabled("apply")) request.mode = admin::ReplayMode::kApply;
  request.format = format_of(settings);
  return admin::replay_rejects(connection, request, std::cout);
}

Result<void> set_horizon(Connection& connection, const Settings& settings) {
  admin::HorizonRequest request;
  request.horizon_seconds = settings.integer("horizon-seconds");
  if (settings.has("future-bound-seconds"))
    request.future_bound_seconds = settings.integer("future-bound-seconds");
  if (settings.enabled("apply")) request.mode = admin::HorizonMode::kApply;
  return admin::set_horizon(connection, request, std::cout);
}

Result<void> set_log_time(Connection& connection, const Settings& settings) {
  admin::LogTimeRequest request;
  request.partition = core::PartitionId(static_cast<std::int32_t>(settings.integer("partition")));
  request.before_offset = core::Offset(settings.integer("before-offset"));
  if (auto good = read_moment(settings, "ceiling", request.ceiling); !good) return good;
  if (settings.enabled("apply")) request.mode = admin::LogTimeMode::kApply;
  return admin::set_log_time(connection, request, std::cout);
}

// On a terminal a person is asked; elsewhere --yes says it.
std::function<bool()> confirmation(const Settings& settings) {
  if (settings.enabled("yes")) return [] { return true; };
  const bool is_terminal = ::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1;
  if (!is_terminal) return {};
  return [] {
    std::cout << "Type yes to create them: " << std::flush;
    std::string line;
    return std::getline(std::cin, line) && line == "yes";
  };
}

// A setting that is wrong, though parse() could not know it: ends with 2.
struct WrongUsage : std::runtime_error {
  using std::runtime_error::runtime_error;
};

Result<void> apply_stripe(const Settings& settings) {
  auto endpoint = runtime::stripe::endpoint_of(runtime::stripe::given_in(settings));
  if (!endpoint) throw WrongUsage(endpoint.error().message);
  if (settings.enabled("json") && !settings.enabled("yes") && !settings.enabled("dry-run"))
    throw WrongUsage("--json asks nobody: give --yes, or --dry-run to look");
  runtime::stripe::Client client(std::move(endpoint).value());
  runtime::stripe::Patient patient(
      client, [](std::chrono::milliseconds wait) { std::this_thread::sleep_for(wait); });
  std::vector<core::Meter> meters;
  {  // Not held while Stripe is asked.
    Connection connection(settings.text("database"), "tally-admin");
    auto transaction = connection.begin(runtime::postgres::Isolation::kRepeatableRead);
    auto stored = admin::read_catalogue(transaction);
    if (!stored) return stored.error();
    meters = std::move(stored).value().catalogue.meters;
  }
  admin::SetupRequest request;
  if (settings.enabled("dry-run")) request.mode = admin::SetupRequest::Mode::kDryRun;
  request.format = format_of(settings);
  request.confirm = confirmation(settings);
  return admin::apply_to_stripe(meters, patient, request, std::cout);
}

Result<void> run(const Settings& settings) {
  const std::string& command = settings.command();
  std::string file;
  if (command == "apply") {  // before a connection is made: a wrong path needs no database
    auto text = read_file(settings.text("FILE"));
    if (!text) return text.error();
    file = std::move(text).value();
  }
  if (command == "stripe-apply") return apply_stripe(settings);
  Connection connection(settings.text("database"), "tally-admin");
  if (command == "migrate") {
    const auto migrations = admin::embedded_migrations();
    if (settings.enabled("check"))
      return admin::check_migrations(connection, migrations, std::cout);
    return admin::migrate(connection, migrations, std::cout,
                          settings.enabled("force") ? admin::LiveServices::kTolerated
                                                    : admin::LiveServices::kRefused);
  }
  if (command == "apply") return apply(connection, settings, file);
  if (command == "rejects-replay") return replay(connection, settings);
  if (command == "horizon-set") return set_horizon(connection, settings);
  if (command == "log-time-set") return set_log_time(connection, settings);
  if (command == "tenant-add") return admin::add_tenant(connection, tenant_of(settings), std::cout);
  if (command == "tenant-list") {
    admin::list_tenants(connection, std::cout);
  } else if (command == "rejects-list") {
    const admin::RejectFilter filter{settings.text("reason"), settings.text("class"),
                                     settings.integer("limit")};
    admin::list_rejects(connection, filter, format_of(settings), std::cout);
  } else if (command == "log-time-list") {
    admin::list_log_time(connection, format_of(settings), std::cout);
  } else if (admin::verify(connection, std::cout) == admin::Verdict::kOff) {
    return Error{ErrorKind::kConflict, "verify found lines that are off (see the table)"};
  }
  return boost::outcome_v2::success();
}

constexpr std::array<std::string_view, 5> kFirstWords = {"tenant", "rejects", "horizon", "log-time",
                                                         "stripe"};

// `tenant list` is the command tenant-list: settings know single words.
std::vector<const char*> joined_words(int argc, const char* const* argv, std::string& word) {
  std::vector<const char*> words(argv, argv + argc);
  if (argc < 3) return words;
  const std::string first = argv[1];
  if (std::ranges::find(kFirstWords, first) == kFirstWords.end() || argv[2][0] == '-') return words;
  word = first + "-" + argv[2];
  words.erase(words.begin() + 1);
  words[1] = word.c_str();
  return words;
}

int fail(const std::string& message, int exit_code = 1) {
  std::cout.flush();
  std::cerr << "tally-admin: " << message << '\n';
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  std::string word;
  const std::vector<const char*> words = joined_words(argc, argv, word);
  const runtime::config::Parsed parsed = runtime::config::parse(
      "tally-admin", "Migrations, the catalogue, rejects and the balance sheet of tally.",
      kCommands, static_cast<int>(words.size()), words.data());
  if (!parsed.settings) return parsed.exit_code;
  try {
    if (const auto done = run(*parsed.settings); !done) return fail(done.error().message);
    return 0;
  } catch (const WrongUsage& error) {
    return fail(error.what(), 2);
  } catch (const runtime::postgres::InDoubt& error) {
    return fail(std::string(error.what()) +
                "; whether it was stored is unknown: run it again, it is idempotent");
  } catch (const runtime::postgres::StatementFailed& error) {
    if (error.is_other_schema()) {
      return fail(
          fmt::format("the database's schema is not this version's: run tally-admin migrate ({})",
                      error.what()));
    }
    return fail(error.what());
  } catch (const std::exception& error) {
    return fail(error.what());
  }
}
