// From a key to the first export: `tally-exporter doctor` says what is missing, `tally-admin stripe
// apply` makes it, against the sandbox and Postgres as real processes.
#include "admin/apply.h"
#include "runtime/http/client.h"
#include "runtime/http/server.h"
#include "tests/integration/postgres/scratch_database.h"
#include "tests/integration/support/export_stage.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

namespace tally::integration {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

constexpr const char* kCatalogue = R"({
  "meters": [
    {"slug": "tokens", "event_type": "llm", "aggregation": "sum", "value": "/tokens",
     "window": "hour", "stripe": {"event_name": "llm_tokens", "multiplier": "1", "decimals": 2,
     "rounding": "half_up"}},
    {"slug": "seats", "event_type": "team", "aggregation": "latest", "value": "/seats",
     "window": "hour", "stripe": {"event_name": "team_seats", "multiplier": "1", "decimals": 0,
     "rounding": "half_up"}},
    {"slug": "internal", "event_type": "llm", "aggregation": "count", "window": "hour"}],
  "plans": [],
  "tenants": [{"id": "acme", "name": "Acme", "stripe_customer": "cus_acme"}]})";

std::string slurp(const std::filesystem::path& path) {
  std::ifstream stream(path);
  std::stringstream text;
  text << stream.rdbuf();
  return text.str();
}

class StripeSetup : public testing::Test {
 protected:
  StripeSetup() : sql_(database_.migrated()) {
    for (const char* variable :
         {"STRIPE_SECRET_KEY", "TALLY_STRIPE_KEY", "TALLY_STRIPE_KEY_FILE", "TALLY_STRIPE_URL"}) {
      ::unsetenv(variable);
    }
    std::ostringstream out;
    const auto applied = admin::apply_text(sql_, kCatalogue, {}, out);
    if (!applied) throw std::runtime_error(applied.error().message);
    folder_ = std::filesystem::temp_directory_path() / ("setup_" + database_.name());
    std::filesystem::create_directories(folder_);
    sandbox_ = std::make_unique<Process>(
        std::vector<std::string>{
            program("tally-stripe-sandbox"), "--port-file", path("port"), "--settings",
            R"({"apply_delay_max_s":0,"rate_limits":"off","answer_delay_ms":0})"},
        std::map<std::string, std::string>{}, path("sandbox"));
    while (!std::filesystem::exists(path("port"))) std::this_thread::sleep_for(20ms);
    std::string port;
    std::ifstream(path("port")) >> port;
    url_ = "http://127.0.0.1:" + port;
    stripe_ = std::make_unique<runtime::http::Client>(url_);
  }
  ~StripeSetup() override {
    sandbox_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  static std::string program(const std::string& name) {
    return std::string(std::getenv("TALLY_TEST_BIN")) + "/" + name;
  }
  [[nodiscard]] std::string path(const std::string& name) const {
    return (folder_ / name).string();
  }
  [[nodiscard]] std::string conninfo() const {
    return std::string(std::getenv("TALLY_TEST_PG")) + " dbname=" + database_.name();
  }

  using Environment = std::map<std::string, std::string>;
  ExportRun run(std::vector<std::string> command, const std::vector<std::string>& more,
                Environment environment) {
    command.front() = program(command.front());
    environment.emplace("TALLY_DATABASE", conninfo());
    command.insert(command.end(), more.begin(), more.end());
    Process process(command, environment, path("run"));
    ExportRun result;
    result.exit_code = process.wait();
    result.output = slurp(path("run"));
    result.errors = slurp(path("run.err"));
    return result;
  }
  ExportRun doctor(const std::vector<std::string>& more = {}, const Environment& environment = {}) {
    return run({"tally-exporter", "doctor", "--stripe-url", url_}, more, environment);
  }
  ExportRun apply(const std::vector<std::string>& more = {}, const Environment& environment = {}) {
    return run({"tally-admin", "stripe", "apply", "--stripe-url", url_}, more, environment);
  }

  json stripe(const std::string& method, const std::string& target, const std::string& body = "") {
    runtime::http::Request request;
    request.method = method;
    request.target = target;
    request.body = body;
    request.headers = {{"Authorization", "Bearer sk_test_1"}};
    if (!target.starts_with("/sandbox/"))
      request.headers.add("Content-Type", "application/x-www-form-urlencoded");
    const auto outcome = stripe_->send(request, 10s);
    EXPECT_EQ(outcome.response.status, 200) << target << outcome.problem << outcome.response.body;
    return json::parse(outcome.response.body, nullptr, false);
  }
  std::string stripe_meter(const std::string& event_name, const std::string& formula,
                           const std::string& more = "") {
    return stripe("POST", "/v1/billing/meters",
                  "display_name=x&event_name=" + event_name +
                      "&default_aggregation[formula]=" + formula + more)["id"];
  }
  std::size_t stripe_meters() {
    return stripe("GET", "/v1/billing/meters?limit=100")["data"].size();
  }

  ScratchDatabase database_;
  runtime::postgres::Connection sql_;
  std::filesystem::path folder_;
  std::unique_ptr<Process> sandbox_;
  std::string url_;
  std::unique_ptr<runtime::http::Client> stripe_;
};

TEST_F(StripeSetup, TheDoctorNamesWhatIsMissingAndApplyMakesIt) {
  const ExportRun before = doctor();
  EXPECT_EQ(before.exit_code, 1) << before.output << before.errors;
  EXPECT_THAT(before.output, HasSubstr("Stripe has no meter of the event name \"llm_tokens\""));
  EXPECT_THAT(before.output, HasSubstr("-> tally-admin stripe apply"));
  EXPECT_THAT(before.output, Not(HasSubstr("internal")));

  const ExportRun dry = apply({"--dry-run"});
  EXPECT_EQ(dry.exit_code, 0) << dry.errors;
  EXPECT_THAT(dry.output, HasSubstr("2 to create, 0 ready, 0 refused"));
  const ExportRun nobody = apply();
  EXPECT_EQ(nobody.exit_code, 1);
  EXPECT_THAT(nobody.errors, HasSubstr("--yes"));
  EXPECT_EQ(stripe_meters(), 0U);

  const ExportRun made = apply({"--yes"});
  EXPECT_EQ(made.exit_code, 0) << made.output << made.errors;
  EXPECT_EQ(stripe_meters(), 2U);
  const ExportRun after = doctor();
  EXPECT_EQ(after.exit_code, 0) << after.output << after.errors;
  EXPECT_THAT(after.output, HasSubstr("(last, raw, active)"));
  EXPECT_THAT(after.output, HasSubstr("agrees with Stripe's"));
  EXPECT_THAT(after.output, HasSubstr("agrees with the database's"));

  const ExportRun again = apply({"--yes", "--json"});
  EXPECT_EQ(again.exit_code, 0) << again.errors;
  EXPECT_EQ(json::parse(again.output)["result"], "nothing_to_do");
  EXPECT_EQ(stripe_meters(), 2U);
}

TEST_F(StripeSetup, AMeterOfAnotherFormulaIsRefusedAndNothingIsMade) {
  stripe_meter("llm_tokens", "count");
  const ExportRun refused = apply({"--yes"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("the formula \"count\", but tally's values need \"sum\""));
  EXPECT_EQ(stripe_meters(), 1U);
  const ExportRun seen = doctor({"--json"});
  EXPECT_EQ(seen.exit_code, 1);
  const json report = json::parse(seen.output);
  EXPECT_EQ(report["result"], "fail");
  bool found = false;
  for (const json& check : report["checks"]) {
    if (check["check"] != "meter tokens") continue;
    found = true;
    EXPECT_EQ(check["level"], "fail");
    EXPECT_THAT(check["says"], HasSubstr("formula"));
  }
  EXPECT_TRUE(found) << seen.output;
}

TEST_F(StripeSetup, WhoDeactivatesAnUnfitMeterAsToldGetsARightOne) {
  const std::string unfit = stripe_meter("llm_tokens", "count");
  EXPECT_THAT(apply({"--yes"}).output, HasSubstr("deactivate " + unfit + " at Stripe"));
  stripe("POST", "/v1/billing/meters/" + unfit + "/deactivate");
  const ExportRun made = apply({"--yes"});
  EXPECT_EQ(made.exit_code, 0) << made.output << made.errors;
  EXPECT_EQ(stripe_meters(), 3U);
  EXPECT_EQ(doctor().exit_code, 0);
}

TEST_F(StripeSetup, PreaggregatedRenamedAndInactiveMetersAreRefused) {
  stripe_meter("llm_tokens", "sum", "&event_time_window=day&value_settings[event_payload_key]=n");
  const std::string gone = stripe_meter("team_seats", "last");
  stripe("POST", "/v1/billing/meters/" + gone + "/deactivate");
  const ExportRun refused = apply({"--yes"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.output, HasSubstr("pre-aggregated"));
  EXPECT_THAT(refused.output, HasSubstr("value_settings"));
  EXPECT_THAT(refused.output, HasSubstr(gone + " is inactive"));
  EXPECT_EQ(doctor().exit_code, 1);
}

TEST_F(StripeSetup, ALostAnswerMakesNoSecondMeter) {
  stripe("POST", "/sandbox/faults",
         R"([{"kind":"drop_after","count":1,"match":"/v1/billing/meters"}])");
  // The fault strikes the first call: the list of meters. The second one strikes the making.
  const ExportRun first = apply({"--dry-run"});
  EXPECT_EQ(first.exit_code, 0) << first.errors;
  stripe("POST", "/sandbox/faults",
         R"([{"kind":"delay_ms","value":1,"count":1,"match":"/v1/billing/meters"},
             {"kind":"drop_after","count":2,"match":"/v1/billing/meters"}])");
  const ExportRun made = apply({"--yes"});
  EXPECT_EQ(made.exit_code, 0) << made.output << made.errors;
  EXPECT_EQ(stripe_meters(), 2U);
}

// Stripe keeps a 500 too and replays it, whether or not the meter was made.
TEST_F(StripeSetup, AKept500OfAMeterThatWasMadeIsNoFailure) {
  stripe("POST", "/sandbox/faults",
         R"([{"kind":"delay_ms","value":1,"count":1,"match":"/v1/billing/meters"},
             {"kind":"status_500_after","count":1,"match":"/v1/billing/meters"}])");
  const ExportRun made = apply({"--yes"});
  EXPECT_EQ(made.exit_code, 0) << made.output << made.errors;
  EXPECT_EQ(stripe_meters(), 2U);
  EXPECT_EQ(stripe("GET", "/sandbox/counters")["faults"]["status_500_after"], 1);
}

TEST_F(StripeSetup, ARefusedKeyIsSaidAndNeverShown) {
  const std::string key = "sk_live_51Secret";
  const ExportRun seen = doctor({}, {{"TALLY_STRIPE_KEY", key}});
  EXPECT_EQ(seen.exit_code, 1);
  EXPECT_THAT(seen.output, HasSubstr("the key is refused: 401"));
  EXPECT_THAT(seen.output, HasSubstr("sk_live_... (16 characters)"));
  EXPECT_THAT(seen.output + seen.errors, Not(HasSubstr("51Secret")));
  const ExportRun refused = apply({"--yes"}, {{"TALLY_STRIPE_KEY", key}});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.errors, HasSubstr("401"));
  EXPECT_THAT(refused.output + refused.errors, Not(HasSubstr("51Secret")));
}

TEST_F(StripeSetup, AKeyThatTheOtherSideRepeatsIsNeverShown) {
  const std::string key = "sk_live_51" + std::string(97, 's');
  const runtime::http::Server gate({}, [&](const runtime::http::Request& request) {
    runtime::http::Response response;
    response.status = 401;
    const std::string said(request.header("Authorization"));
    response.body = json{{"error", {{"message", "Invalid API Key provided: " + said}}}}.dump();
    return response;
  });
  url_ = "http://127.0.0.1:" + std::to_string(gate.port());
  for (const ExportRun& seen :
       {doctor({}, {{"TALLY_STRIPE_KEY", key}}), doctor({"--json"}, {{"TALLY_STRIPE_KEY", key}}),
        apply({"--yes"}, {{"TALLY_STRIPE_KEY", key}}),
        apply({"--yes", "--json"}, {{"TALLY_STRIPE_KEY", key}})}) {
    EXPECT_EQ(seen.exit_code, 1);
    EXPECT_THAT(seen.output + seen.errors, HasSubstr("Bearer [hidden]"));
    EXPECT_THAT(seen.output + seen.errors, Not(HasSubstr("sss")));
  }
}

TEST_F(StripeSetup, TheKeyComesByVariableOrFileAndNeverByAFlag) {
  EXPECT_THAT(doctor({}, {{"STRIPE_SECRET_KEY", "sk_test_12345"}}).output,
              HasSubstr("sk_test_... (13 characters): a secret key, test mode"));
  std::ofstream(path("key")) << "rk_test_123\n";
  const ExportRun file = doctor({"--stripe-key-file", path("key")});
  EXPECT_THAT(file.output, HasSubstr("rk_test_... (11 characters): a restricted key"));
  EXPECT_THAT(file.output, HasSubstr("warn  write meter events"));
  EXPECT_THAT(doctor().output, HasSubstr("none: only this machine is spoken to"));
  EXPECT_EQ(doctor({"--stripe-key", "sk_test_1"}).exit_code, 2);
  EXPECT_EQ(apply({"--stripe-key", "sk_test_1"}).exit_code, 2);
  const ExportRun forbidden = doctor({}, {{"STRIPE_SECRET_KEY", "rk_test_forbidden1"}});
  EXPECT_EQ(forbidden.exit_code, 1);
  EXPECT_THAT(forbidden.output, HasSubstr("warn  stripe account"));
  EXPECT_THAT(forbidden.output, HasSubstr("fail  read billing meters"));
}

TEST_F(StripeSetup, WithoutAKeyNothingLeavesTheMachine) {
  url_ = "https://192.0.2.1";  // nobody's
  const ExportRun seen = doctor();
  EXPECT_EQ(seen.exit_code, 2);
  EXPECT_THAT(seen.output, HasSubstr("only this machine is spoken to"));
  EXPECT_THAT(seen.output, Not(HasSubstr("stripe account")));
  const ExportRun refused = apply({"--yes"});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_THAT(refused.errors, HasSubstr("only this machine is spoken to"));
  const ExportRun once = run({"tally-exporter", "run", "--once", "--stripe-url", url_}, {}, {});
  EXPECT_EQ(once.exit_code, 2);
  EXPECT_THAT(once.errors, HasSubstr("only this machine is spoken to"));
}

TEST_F(StripeSetup, AWrongUrlIsWrongUsageForAllThree) {
  EXPECT_EQ(apply({"--json"}, {{"STRIPE_SECRET_KEY", "sk_test_1"}}).exit_code, 2);
  url_ += "/x";
  EXPECT_EQ(doctor().exit_code, 2);
  EXPECT_EQ(apply({"--yes"}).exit_code, 2);
  EXPECT_EQ(run({"tally-exporter", "run", "--once", "--stripe-url", url_}, {}, {}).exit_code, 2);
}

TEST_F(StripeSetup, AClockThatIsOffIsSeen) {
  apply({"--yes"});
  const auto now = std::chrono::duration_cast<std::chrono::seconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  stripe("POST", "/sandbox/clock", json{{"now", now + 3'600}}.dump());
  const ExportRun behind = doctor();
  EXPECT_EQ(behind.exit_code, 1);
  EXPECT_THAT(behind.output, HasSubstr("s behind Stripe's"));
  stripe("POST", "/sandbox/clock", json{{"now", now - 60}}.dump());
  const ExportRun ahead = doctor();
  EXPECT_EQ(ahead.exit_code, 0) << ahead.output;
  EXPECT_THAT(ahead.output, HasSubstr("warn  stripe clock"));
  EXPECT_THAT(ahead.output, HasSubstr("s ahead of Stripe's"));
}

TEST_F(StripeSetup, MetersBeyondTheFirstHundredAreFound) {
  ASSERT_EQ(apply({"--yes"}).exit_code, 0);
  for (int i = 0; i < 130; ++i) stripe_meter("other_" + std::to_string(i), "sum");
  const json first = stripe("GET", "/v1/billing/meters?limit=100");
  ASSERT_EQ(first["has_more"], true);
  EXPECT_THAT(first.dump(), Not(HasSubstr("llm_tokens"))) << "ours are on the second page";
  const ExportRun again = apply({"--yes"});
  EXPECT_EQ(again.exit_code, 0) << again.output << again.errors;
  EXPECT_THAT(again.output, HasSubstr("Nothing to do"));
  EXPECT_EQ(doctor().exit_code, 0);
}

// The sandbox behind a server that answers for its subscriptions, on two pages.
TEST_F(StripeSetup, TwoItemsOfOneCustomerOnOneMeterAreRefusedOverPages) {
  ASSERT_EQ(apply({"--yes"}).exit_code, 0);
  std::string tokens;
  const json meters = stripe("GET", "/v1/billing/meters?limit=100");
  for (const json& meter : meters["data"]) {
    if (meter["event_name"] == "llm_tokens") tokens = meter["id"];
  }
  const auto subscription = [&](const std::string& number, const std::string& customer) {
    const json item = {{"id", "si_" + number}, {"price", {{"recurring", {{"meter", tokens}}}}}};
    return json{{"id", "sub_" + number},
                {"customer", customer},
                {"status", "active"},
                {"items", {{"object", "list"}, {"data", {item}}, {"has_more", false}}}};
  };
  runtime::http::Client behind(url_);
  bool is_second_customers = false;
  const runtime::http::Server gate({}, [&](const runtime::http::Request& request) {
    if (request.path() != "/v1/subscriptions") return behind.send(request, 10s).response;
    const bool first = !request.query("starting_after").has_value();
    const std::string customer = is_second_customers ? "cus_other" : "cus_acme";
    runtime::http::Response response;
    response.body = json{
        {"object", "list"},
        {"data", {first ? subscription("1", "cus_acme") : subscription("2", customer)}},
        {"has_more",
         first}}.dump();
    return response;
  });
  url_ = "http://127.0.0.1:" + std::to_string(gate.port());
  const ExportRun refused = apply({"--yes"});
  EXPECT_EQ(refused.exit_code, 1) << refused.output << refused.errors;
  EXPECT_THAT(refused.output, HasSubstr("customer cus_acme has 2 items on " + tokens +
                                        ": si_1 of sub_1, si_2 of sub_2"));
  const ExportRun seen = doctor();
  EXPECT_EQ(seen.exit_code, 1);
  EXPECT_THAT(seen.output, HasSubstr("fail  subscription items"));
  is_second_customers = true;
  EXPECT_EQ(apply({"--yes"}).exit_code, 0);
}

TEST_F(StripeSetup, ADatabaseWithoutItsMigrationsIsSaid) {
  const ScratchDatabase empty;
  const ExportRun seen =
      doctor({"--database", std::string(std::getenv("TALLY_TEST_PG")) + " dbname=" + empty.name()});
  EXPECT_EQ(seen.exit_code, 1);
  EXPECT_THAT(seen.output, HasSubstr("the database has 0 of"));
  EXPECT_THAT(seen.output, HasSubstr("-> tally-admin migrate"));
  EXPECT_THAT(seen.output, HasSubstr("stripe url")) << "the rest is looked at all the same";
}

TEST_F(StripeSetup, OnATerminalATypedYesMakesTheMeters) {
  const auto typed = [&](const std::string& word) {
    const std::string admin = program("tally-admin");
    const std::string database = conninfo();
    int terminal = -1;
    const pid_t pid = ::forkpty(&terminal, nullptr, nullptr, nullptr);
    if (pid == 0) {
      ::execl(admin.c_str(), admin.c_str(), "stripe", "apply", "--stripe-url", url_.c_str(),
              "--database", database.c_str(), nullptr);
      ::_exit(127);
    }
    const std::string line = word + "\n";
    EXPECT_EQ(::write(terminal, line.data(), line.size()), static_cast<ssize_t>(line.size()));
    std::string shown;
    char byte = 0;
    while (::read(terminal, &byte, 1) == 1) shown += byte;
    int status = 0;
    ::waitpid(pid, &status, 0);
    ::close(terminal);
    EXPECT_THAT(shown, HasSubstr("Type yes to create them:"));
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(typed("no"), 1);
  EXPECT_EQ(stripe_meters(), 0U);
  EXPECT_EQ(typed("yes"), 0);
  EXPECT_EQ(stripe_meters(), 2U);
}

}  // namespace
}  // namespace tally::integration
