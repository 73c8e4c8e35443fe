#include "admin/apply.h"

#include "admin/tenants.h"
#include "tests/integration/postgres/scratch_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <sstream>

namespace tally::integration {
namespace {

using admin::ApplyMode;
using admin::ApplyOptions;
using admin::Detail;
using runtime::postgres::Connection;
using testing::HasSubstr;

constexpr const char* kTokens =
    R"({"slug":"tokens","event_type":"llm.completion","aggregation":"sum","value":"/tokens"})";
constexpr const char* kSeats =
    R"({"slug":"seats","event_type":"team.size","aggregation":"latest","value":"/seats"})";

std::string tenant(const std::string& id, const std::string& more = "") {
  return R"({"id":")" + id + R"(","name":"n")" + more + "}";
}

std::string catalogue(const std::string& meters, const std::string& tenants) {
  return R"({"meters":[)" + meters + R"(],"plans":[{"slug":"pro","name":"Pro"}],"tenants":[)" +
         tenants + "]}";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

class Apply : public testing::Test {
 protected:
  core::Result<void> apply(const std::string& json, ApplyMode mode = ApplyMode::kStore) {
    out_.str("");
    return admin::apply_text(connection_, json, {mode, Detail::kShort}, out_);
  }
  std::int64_t version() {
    return connection_.exec("SELECT version FROM tally.catalogue_version").int64(0, 0);
  }
  std::string value(const std::string& query) {
    return std::string(connection_.exec("SELECT " + query).text(0, 0));
  }

  ScratchDatabase database_;
  Connection connection_ = database_.migrated();
  std::ostringstream out_;
};

TEST_F(Apply, StoresOnceAndFindsNothingToDoTheSecondTime) {
  const std::string json = catalogue(std::string(kTokens) + "," + kSeats,
                                     tenant("a", R"(,"plan":"pro","stripe_customer":"cus_a")"));
  ASSERT_TRUE(apply(json));
  EXPECT_THAT(out_.str(), HasSubstr("+ meter seats\n  + meter tokens\n  + plan pro\n  + tenant a"));
  EXPECT_EQ(version(), 1);
  ASSERT_TRUE(apply(json));
  EXPECT_THAT(out_.str(), HasSubstr("Nothing to store: the catalogue stays at version 1"));
  EXPECT_EQ(version(), 1);
  EXPECT_EQ(count(connection_, "tally.meter WHERE created_version = 1"), 2);
}

TEST_F(Apply, ADryRunStoresNothing) {
  ASSERT_TRUE(apply(catalogue(kTokens, ""), ApplyMode::kDryRun));
  EXPECT_THAT(out_.str(), HasSubstr("+ meter tokens"));
  EXPECT_EQ(version(), 0);
  EXPECT_EQ(count(connection_, "tally.meter"), 0);
}

TEST_F(Apply, KeepsWhatTheFileLeavesOut) {
  ASSERT_TRUE(apply(catalogue(kTokens, tenant("a"))));
  ASSERT_TRUE(apply(catalogue(kTokens, tenant("b"))));
  EXPECT_THAT(out_.str(), HasSubstr("- tenant a  (not in the file: kept)"));
  EXPECT_EQ(count(connection_, "tally.tenant"), 2);
  EXPECT_EQ(version(), 2);
}

TEST_F(Apply, AnUnusedMeterMayBeRedefinedAndCountsAsNew) {
  ASSERT_TRUE(apply(catalogue(kTokens, "")));
  ASSERT_TRUE(apply(catalogue(replaced(kTokens, "/tokens", "/total"), "")));
  EXPECT_THAT(out_.str(), HasSubstr(R"(value: "/tokens" -> "/total")"));
  EXPECT_EQ(value("created_version::text FROM tally.meter"), "2");
}

struct Use {
  const char* meter;
  const char* sql;
};

class ApplyToUsedMeter : public Apply, public testing::WithParamInterface<Use> {};

TEST_P(ApplyToUsedMeter, RefusesAnotherDefinition) {
  ASSERT_TRUE(apply(catalogue(std::string(kTokens) + "," + kSeats, "")));
  const std::string other = replaced(GetParam().meter, "\"/", R"("/usage/)");
  ASSERT_TRUE(apply(catalogue(other, ""), ApplyMode::kDryRun)) << "allowed until it is used";
  connection_.exec(GetParam().sql);
  const auto refused = apply(catalogue(other, tenant("new")));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("in use and its definition is immutable"));
  EXPECT_THAT(refused.error().message, HasSubstr("changes value"));
  EXPECT_THAT(refused.error().message, HasSubstr("new slug"));
  EXPECT_EQ(version(), 1);
  EXPECT_EQ(count(connection_, "tally.tenant"), 0) << "all or nothing";
}

INSTANTIATE_TEST_SUITE_P(
    Tables, ApplyToUsedMeter,
    testing::Values(
        Use{kTokens,
            "INSERT INTO tally.usage_window SELECT t, m, '2026-01-01 00:00Z',"
            " '2026-01-01 01:00Z', '{}', 1, 1 FROM unnest('{a,b,zz}'::text[]) t,"
            " unnest('{calls,tokens}'::text[]) m WHERE (t, m) <> ('a', 'tokens')"},
        Use{kSeats,
            "INSERT INTO tally.gauge_window VALUES ('z', 'seats', '2026-01-01 00:00Z',"
            " '2026-01-01 01:00Z', '{}', 1, '2026-01-01 00:10Z', '\\x00', 1)"},
        Use{kTokens,
            "INSERT INTO tally.export_period (tenant, meter, period_start, period_end)"
            " VALUES ('a', 'tokens', '2026-01-01Z', '2026-02-01Z');"
            "INSERT INTO tally.outbox (stripe_customer, tenant, meter, event_name, formula,"
            " period_start, period_end, quantity, value, event_time, identifier, idempotency_key,"
            " created_at) VALUES ('cus_a', 'a', 'tokens', 'tokens', 'sum', '2026-01-01Z',"
            " '2026-02-01Z', 1, '1', '2026-01-05Z', 'i', 'k', '2026-01-05Z')"}));

TEST_F(Apply, AUsedMetersPriceAndFirstMappingMayChange) {
  ASSERT_TRUE(apply(catalogue(kTokens, "")));
  connection_.exec(
      "INSERT INTO tally.usage_window VALUES ('a', 'tokens', '2026-01-01 00:00Z',"
      " '2026-01-01 01:00Z', '{}', 1, 1)");
  const std::string priced =
      replaced(kTokens, "}",
               R"(,"unit_cost":"0.000015","stripe":{"event_name":"tok","multiplier":"0.001"}})");
  ASSERT_TRUE(apply(catalogue(priced, "")));
  EXPECT_EQ(value("unit_cost::text FROM tally.meter"), "0.000015");
  EXPECT_EQ(value("stripe_event_name FROM tally.meter"), "tok");
  EXPECT_EQ(value("created_version::text FROM tally.meter"), "1") << "it reads events as before";
  const auto refused = apply(catalogue(replaced(priced, "0.001", "0.01"), ""));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("changes stripe"));
}

// The aggregator's commit holds the version FOR SHARE: a first use inside it must be seen.
TEST_F(Apply, AFirstUseInACommitUnderWayIsWaitedForAndSeen) {
  ASSERT_TRUE(apply(catalogue(kTokens, "")));
  Connection aggregator = database_.connect();
  Connection watcher = database_.connect();
  auto commit = aggregator.begin();
  commit.exec("SET LOCAL idle_in_transaction_session_timeout = '60s'");
  commit.exec("SELECT version FROM tally.catalogue_version FOR SHARE");
  auto refused = std::async(std::launch::async, [this] {
    return apply(catalogue(replaced(kTokens, "/tokens", "/total"), ""));
  });
  ASSERT_TRUE(eventually(watcher,
                         "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                         " AND datname = current_database())"));
  commit.exec(
      "INSERT INTO tally.usage_window VALUES ('a', 'tokens', '2026-01-01 00:00Z',"
      " '2026-01-01 01:00Z', '{}', 1, 1)");
  commit.commit();
  const auto result = refused.get();
  ASSERT_FALSE(result);
  EXPECT_THAT(result.error().message, HasSubstr("in use and its definition is immutable"));
  EXPECT_EQ(version(), 1);
}

TEST_F(Apply, ACatalogueThatMovedMeanwhileIsNotOverwritten) {
  ASSERT_TRUE(apply(catalogue(kTokens, "")));
  Connection other = database_.connect();
  Connection watcher = database_.connect();
  auto rival = other.begin();
  rival.exec("SET LOCAL idle_in_transaction_session_timeout = '60s'");
  rival.exec("UPDATE tally.catalogue_version SET version = version + 1");
  auto late =
      std::async(std::launch::async, [this] { return apply(catalogue(kTokens, tenant("a"))); });
  ASSERT_TRUE(eventually(watcher,
                         "EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                         " AND datname = current_database())"));
  rival.commit();
  const auto refused = late.get();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("moved from version 1 to 2 meanwhile"));
  EXPECT_EQ(count(connection_, "tally.tenant"), 0);
}

TEST_F(Apply, TenantsMaySwapTheirStripeCustomers) {
  const auto with = [](const char* a, const char* b) {
    return catalogue(kTokens, tenant("a", std::string(R"(,"stripe_customer":")") + a + '"') + "," +
                                  tenant("b", std::string(R"(,"stripe_customer":")") + b + '"'));
  };
  ASSERT_TRUE(apply(with("cus_1", "cus_2")));
  ASSERT_TRUE(apply(with("cus_2", "cus_1")));
  EXPECT_EQ(value("stripe_customer FROM tally.tenant WHERE tenant = 'a'"), "cus_2");
}

TEST_F(Apply, ACustomerOfAStoredTenantIsRefused) {
  ASSERT_TRUE(apply(catalogue(kTokens, tenant("a", R"(,"stripe_customer":"cus_1")"))));
  const auto refused = apply(catalogue(kTokens, tenant("b", R"(,"stripe_customer":"cus_1")")));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("already belongs to another stored tenant"));
  EXPECT_EQ(version(), 1);
}

TEST_F(Apply, AnUnknownTimeZoneIsRefusedWithItsTenant) {
  const auto refused = apply(catalogue(kTokens, tenant("a", R"(,"time_zone":"Europe/Bern")")));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("tenant \"a\""));
  EXPECT_THAT(refused.error().message, HasSubstr("Europe/Bern"));
}

TEST_F(Apply, AHundredThousandTenantsAreAFewStatements) {
  std::string tenants;
  for (int i = 0; i < 100'000; ++i) {
    const std::string id = "tenant-" + std::to_string(i);
    tenants +=
        (i > 0 ? "," : "") + tenant(id, R"(,"plan":"pro","stripe_customer":"cus_)" + id + '"');
  }
  const std::string json = catalogue(kTokens, tenants);
  const auto start = std::chrono::steady_clock::now();
  ASSERT_TRUE(apply(json));
  ASSERT_TRUE(apply(json));
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start);
  EXPECT_THAT(out_.str(), HasSubstr("Nothing to store"));
  EXPECT_EQ(count(connection_, "tally.tenant"), 100'000);
  EXPECT_LT(seconds.count(), 60) << "a statement per tenant would take minutes";
}

TEST_F(Apply, ATenantCanBeAddedOnce) {
  ASSERT_TRUE(apply(catalogue(kTokens, "")));
  core::Tenant added;
  added.id = added.name = "acme";
  added.plan = "pro";
  ASSERT_TRUE(admin::add_tenant(connection_, added, out_));
  EXPECT_EQ(version(), 2);
  const auto again = admin::add_tenant(connection_, added, out_);
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, HasSubstr("exists already"));
  added.id = "other";
  added.plan = "none-such";
  EXPECT_FALSE(admin::add_tenant(connection_, added, out_));
  EXPECT_EQ(version(), 2);
  out_.str("");
  admin::list_tenants(connection_, out_);
  EXPECT_THAT(out_.str(), HasSubstr("acme"));
}

}  // namespace
}  // namespace tally::integration
