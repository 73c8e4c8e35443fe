#include "tests/integration/support/export_stage.h"

#include "core/catalogue.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

namespace tally::integration {
namespace {

using namespace std::chrono_literals;

std::string required(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) throw std::runtime_error(std::string(name) + " is not set: run by ctest");
  return value;
}

std::string slurp(const std::filesystem::path& path) {
  std::ifstream stream(path);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

}  // namespace

Process::Process(const std::vector<std::string>& command,
                 const std::map<std::string, std::string>& extra,
                 const std::filesystem::path& output) {
  std::vector<char*> arguments;
  std::vector<std::string> copies = command;
  for (std::string& copy : copies) arguments.push_back(copy.data());
  arguments.push_back(nullptr);
  const std::string errors = output.string() + ".err";
  pid_ = ::fork();
  if (pid_ != 0) return;
  const int out = ::open(output.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
  const int err = ::open(errors.c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
  ::dup2(out, 1);
  ::dup2(err, 2);
  for (const auto& [name, value] : extra) ::setenv(name.c_str(), value.c_str(), 1);
  ::execv(arguments[0], arguments.data());
  ::_exit(127);
}

Process::~Process() {
  if (result_.has_value()) return;
  ::kill(pid_, SIGKILL);
  wait();
}

void Process::signal(int number) const { ::kill(pid_, number); }

int Process::wait() {
  if (result_.has_value()) return *result_;
  int status = 0;
  ::waitpid(pid_, &status, 0);
  result_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return *result_;
}

ExportStage::ExportStage()
    : server_(required("TALLY_TEST_PG")), programs_(required("TALLY_TEST_BIN")) {
  static int number = 0;
  name_ = "exporter_test_" + std::to_string(::getpid()) + "_" + std::to_string(++number);
  folder_ = std::filesystem::temp_directory_path() / name_;
  std::filesystem::create_directories(folder_);
  // CREATE DATABASE is refused inside a transaction, and Connection makes one: psql does not.
  Process create({"/usr/bin/env", "psql", "-Xq", server_, "-c", "CREATE DATABASE " + name_}, {},
                 path("createdb"));
  if (create.wait() != 0) throw std::runtime_error(slurp(path("createdb.err")));
  conninfo_ = server_ + " dbname=" + name_;
  sql_ = std::make_unique<runtime::postgres::Connection>(conninfo_, name_);
  std::set<std::filesystem::path> migrations;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(required("TALLY_TEST_ROOT")) / "schemas/postgres"))
    if (entry.path().extension() == ".sql") migrations.insert(entry.path());
  for (const auto& file : migrations) sql_->exec(slurp(file));
  const std::string port_file = path("port").string();
  sandbox_ = std::make_unique<Process>(
      // The oracle is read right after an export, so nothing may wait to be counted.
      std::vector<std::string>{(programs_ / "tally-stripe-sandbox").string(), "--port-file",
                               port_file, "--settings", R"({"apply_delay_max_s":0})"},
      std::map<std::string, std::string>{}, path("sandbox"));
  for (int i = 0; i < 200 && !std::filesystem::exists(port_file); ++i)
    std::this_thread::sleep_for(50ms);
  port_ = slurp(port_file);
  while (!port_.empty() && port_.back() == '\n') port_.pop_back();
  stripe_ = std::make_unique<runtime::http::Client>(stripe_url());
}

ExportStage::~ExportStage() {
  sql_.reset();
  sandbox_.reset();
  Process drop({"/usr/bin/env", "psql", "-Xq", server_, "-c",
                "DROP DATABASE IF EXISTS " + name_ + " WITH (FORCE)"},
               {}, path("dropdb"));
  drop.wait();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string ExportStage::stripe_url() const { return "http://127.0.0.1:" + port_; }

void ExportStage::add_meter(const std::string& slug, const std::string& aggregation, int decimals) {
  core::Meter meter;
  meter.slug = slug;
  meter.event_type = "test." + slug;
  static const std::map<std::string, core::Aggregation> kAggregations{
      {"sum", core::Aggregation::kSum},
      {"latest", core::Aggregation::kLatest},
      {"max", core::Aggregation::kMax},
      {"min", core::Aggregation::kMin},
      {"unique_count", core::Aggregation::kUniqueCount}};
  meter.aggregation = kAggregations.at(aggregation);
  meter.value = {"value"};
  if (aggregation == "latest") meter.group_by = {{"host", {"host"}}};
  meter.stripe =
      core::StripeMapping{slug, core::Decimal::from_int(1), decimals, core::Rounding::kHalfUp};
  sql_->exec(
      "INSERT INTO tally.meter (slug, event_type, aggregation, definition, stripe_event_name,"
      " stripe_multiplier, stripe_decimals, stripe_rounding, created_version)"
      " VALUES ($1, $2, $3, $4, $1, 1, $5::integer, 'half_up', 1)",
      {slug, meter.event_type, aggregation, core::meter_definition(meter),
       std::to_string(decimals)});
}

void ExportStage::add_stripe_meter(const std::string& slug, const std::string& formula) {
  post("/v1/billing/meters",
       "display_name=" + slug + "&event_name=" + slug + "&default_aggregation[formula]=" + formula,
       "application/x-www-form-urlencoded");
}

void ExportStage::add_tenant(const std::string& tenant) {
  sql_->exec(
      "INSERT INTO tally.tenant (tenant, name, stripe_customer) VALUES ($1, $1, 'cus_' || $1)",
      {tenant});
  post("/sandbox/customers", nlohmann::json{{"id", "cus_" + tenant}}.dump(), "application/json");
}

void ExportStage::add_usage(const std::string& tenant, const std::string& meter,
                            const std::string& quantity) {
  sql_->exec(
      "INSERT INTO tally.usage_window AS u VALUES ($1, $2, date_trunc('hour', now()),"
      " date_trunc('hour', now()) + interval '1 hour', '{}', $3::numeric, 1)"
      " ON CONFLICT (tenant, meter, window_start, dimensions)"
      " DO UPDATE SET quantity = u.quantity + excluded.quantity, events = u.events + 1",
      {tenant, meter, quantity});
}

void ExportStage::set_gauge(const std::string& tenant, const std::string& meter,
                            const std::string& dimensions, const std::string& reading) {
  sql_->exec(
      "INSERT INTO tally.gauge_window VALUES ($1, $2, date_trunc('hour', now()),"
      " date_trunc('hour', now()) + interval '1 hour', $3, $4::numeric,"
      " date_trunc('hour', now()), '\\x00', 1)"
      " ON CONFLICT (tenant, meter, window_start, dimensions) DO UPDATE SET reading = "
      "excluded.reading",
      {tenant, meter, dimensions, reading});
}

void ExportStage::add_unique(const std::string& tenant, const std::string& meter,
                             const std::string& dimensions, const std::vector<int>& members) {
  for (const int member : members) {
    sql_->exec(
        "WITH s AS (INSERT INTO tally.unique_set AS u (tenant, meter, span, span_start, dimensions,"
        "  span_end, first_date, members, events)"
        "  VALUES ($1, $2, 'window', date_trunc('hour', now()), $3,"
        "   date_trunc('hour', now()) + interval '1 hour', current_date, 1, 1)"
        "  ON CONFLICT (tenant, meter, span, span_start, dimensions)"
        "  DO UPDATE SET members = u.members + 1 RETURNING set_id)"
        " INSERT INTO tally.unique_member SELECT set_id, $4::bigint, 7 FROM s",
        {tenant, meter, dimensions, std::to_string(member)});
  }
}

std::string ExportStage::post(const std::string& target, const std::string& body,
                              const std::string& type) {
  runtime::http::Request request;
  request.method = "POST";
  request.target = target;
  request.headers = {{"Content-Type", type}, {"Authorization", "Bearer sk_test_local"}};
  request.body = body;
  const auto outcome = stripe_->send(request, 10s);
  if (outcome.fate != runtime::http::Fate::kAnswered || outcome.response.status != 200) {
    throw std::runtime_error(target + ": " + outcome.problem + outcome.response.body);
  }
  return outcome.response.body;
}

void ExportStage::faults(const std::string& json) {
  post("/sandbox/faults", json, "application/json");
}

std::string ExportStage::oracle_text() {
  runtime::http::Request request;
  request.target = "/sandbox/oracle/totals";
  return stripe_->send(request, 10s).response.body;
}

std::string ExportStage::oracle(const std::string& meter, const std::string& customer) {
  const auto totals = nlohmann::json::parse(oracle_text());
  const auto& customers = totals["meters"][meter]["customers"];
  return customers.contains(customer) ? customers[customer].get<std::string>() : "";
}

std::int64_t ExportStage::oracle_events(const std::string& meter) {
  return nlohmann::json::parse(oracle_text())["meters"][meter]["events"].get<std::int64_t>();
}

std::vector<std::string> ExportStage::exporter_command(const std::vector<std::string>& more) const {
  std::vector<std::string> command{(programs_ / "tally-exporter").string(),
                                   "run",
                                   "--database",
                                   conninfo_,
                                   "--stripe-url",
                                   stripe_url()};
  command.insert(command.end(), more.begin(), more.end());
  return command;
}

ExportRun ExportStage::export_once(const std::map<std::string, std::string>& environment,
                                   const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"--once", "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  Process process(exporter_command(arguments), environment, path("exporter"));
  ExportRun run;
  run.exit_code = process.wait();
  run.output = slurp(path("exporter"));
  run.errors = slurp(path("exporter.err"));
  return run;
}

std::int64_t ExportStage::count(const std::string& query) {
  return sql_->exec("SELECT count(*) FROM " + query).int64(0, 0);
}

}  // namespace tally::integration
