#include "admin/log_time.h"

#include "tests/integration/postgres/scratch_database.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <sstream>
#include <string>

namespace tally::integration {
namespace {

using admin::LogTimeMode;
using admin::LogTimeRequest;
using runtime::postgres::Connection;
using testing::HasSubstr;

// Partition 2 is committed up to offset 100, an hour ago.
class LogTime : public testing::Test {
 protected:
  LogTime() {
    connection_.exec(
        "INSERT INTO tally.partition_state (partition, generation, base_offset, next_offset, "
        "last_log_time) "
        "VALUES (2, 1, 0, 100, date_trunc('milliseconds', now() - interval '1 hour')), "
        "(3, 1, 0, 0, NULL)");
  }
  core::Result<void> set(std::int64_t before_offset, const std::string& ceiling = "",
                         LogTimeMode mode = LogTimeMode::kApply, std::int32_t partition = 2) {
    out_.str("");
    LogTimeRequest request{core::PartitionId(partition), core::Offset(before_offset), std::nullopt,
                           mode};
    if (!ceiling.empty()) request.ceiling = core::parse_rfc3339(ceiling).value();
    return admin::set_log_time(connection_, request, out_);
  }
  std::string refusal(std::int64_t before_offset, const std::string& ceiling = "",
                      std::int32_t partition = 2) {
    const std::string before = stored();
    const auto done = set(before_offset, ceiling, LogTimeMode::kApply, partition);
    EXPECT_FALSE(done);
    EXPECT_EQ(stored(), before);
    return done ? "" : done.error().message;
  }
  std::string value(const std::string& query) {
    return std::string(connection_.exec("SELECT " + query).text(0, 0));
  }
  std::string at(const std::string& time) {
    return value("to_char(date_trunc('milliseconds', " + time +
                 "), 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')");
  }
  void commit_up_to(std::int64_t offset) {
    connection_.exec(
        "UPDATE tally.partition_state SET next_offset = $1::bigint WHERE partition = 2",
        {std::to_string(offset)});
  }
  std::int64_t version() {
    return connection_.exec("SELECT version FROM tally.catalogue_version").int64(0, 0);
  }
  // Rows as "from-before", and the catalogue's version.
  std::string stored() {
    return value(
               "coalesce(string_agg(from_offset || '-' || before_offset, ' ' ORDER BY "
               "from_offset), "
               "'') FROM tally.log_time_ceiling") +
           " v" + std::to_string(version());
  }

  ScratchDatabase database_;
  Connection connection_ = database_.migrated();
  std::ostringstream out_;
};

TEST_F(LogTime, ADryRunSaysWhatWouldBeDone) {
  const std::string before = stored();
  ASSERT_TRUE(set(150, "", LogTimeMode::kDryRun));
  EXPECT_THAT(out_.str(), HasSubstr("from offset 100 to 149, 50 at most"));
  EXPECT_THAT(out_.str(), HasSubstr("Dry run"));
  EXPECT_EQ(stored(), before);
}

TEST_F(LogTime, IsStoredOnceAndRaisesTheVersion) {
  const std::int64_t before = version();
  const std::string earliest = at("now()");
  ASSERT_TRUE(set(150));
  EXPECT_EQ(stored(), "100-150 v" + std::to_string(before + 1));
  EXPECT_EQ(value("ceiling >= '" + earliest +
                  "' AND ceiling <= now() AND ceiling = "
                  "date_trunc('milliseconds', ceiling) FROM tally.log_time_ceiling"),
            "t");
  // As a person does whose COMMIT got no answer.
  ASSERT_TRUE(set(150));
  EXPECT_THAT(out_.str(), HasSubstr("Nothing to change"));
  EXPECT_EQ(version(), before + 1);
}

TEST_F(LogTime, RefusesWhatItCannotDo) {
  EXPECT_THAT(refusal(150, "", 9), HasSubstr("partition 9 is unknown"));
  EXPECT_THAT(refusal(100), HasSubstr("everything below offset 100 is committed"));
  const std::string ahead = at("now() + interval '10 s'");
  EXPECT_THAT(refusal(150, ahead), HasSubstr("is ahead of the database's clock"));
  const std::string behind =
      at("(SELECT last_log_time - interval '1 ms' FROM "
         "tally.partition_state WHERE partition = 2)");
  EXPECT_THAT(refusal(150, behind), HasSubstr("which never steps back"));
  EXPECT_THAT(refusal(150, "1970-06-01T00:00:00Z", 3), HasSubstr("1971"));
}

// The fence lets a clock be an hour ahead: then that is the earliest ceiling, and the latest.
TEST_F(LogTime, APartitionWhoseClockIsAheadKeepsIt) {
  connection_.exec(
      "UPDATE tally.partition_state SET last_log_time = "
      "date_trunc('milliseconds', now() + interval '30 minutes') WHERE partition = 2");
  ASSERT_TRUE(set(150));
  EXPECT_EQ(value("c.ceiling = s.last_log_time FROM tally.log_time_ceiling c "
                  "JOIN tally.partition_state s USING (partition)"),
            "t");
}

TEST_F(LogTime, WhatIsCommittedStaysAndTheRestIsSetAnew) {
  ASSERT_TRUE(set(1'000'000));
  // Nothing is committed under it yet: it is replaced.
  ASSERT_TRUE(set(200, at("now()")));
  EXPECT_THAT(out_.str(), HasSubstr("for those before offset 1000000"));
  EXPECT_EQ(stored().substr(0, 8), "100-200 ");
  commit_up_to(120);
  ASSERT_TRUE(set(160, at("now()")));
  EXPECT_EQ(stored().substr(0, 16), "100-120 120-160 ");
  commit_up_to(170);
  ASSERT_TRUE(set(180));
  EXPECT_EQ(stored().substr(0, 24), "100-120 120-160 170-180 ");
  out_.str("");
  admin::list_log_time(connection_, admin::Format::kTable, out_);
  EXPECT_THAT(out_.str(), testing::ContainsRegex("2 +170 +180 .* 10"));
  out_.str("");
  admin::list_log_time(connection_, admin::Format::kJson, out_);
  EXPECT_THAT(out_.str(), HasSubstr(R"({"partition":2,"from_offset":170,"before_offset":180,)"));
}

// What was stamped rightly since the partition's clock stood still would be late behind records of
// now: an admin must say when the broker's clock was right again.
TEST_F(LogTime, AfterMoreThanADayTheMomentMustBeGiven) {
  const std::string ceiling = at("now()");
  const std::string yesterday = value("to_char('" + ceiling +
                                      "'::timestamptz - interval '1 day', 'YYYY-MM-DD') || "
                                      "'T00:00:00Z'");
  ASSERT_TRUE(set(150, ceiling, LogTimeMode::kDryRun));
  EXPECT_THAT(out_.str(), testing::Not(HasSubstr("older_than_memory")));
  for (const std::string& clock :
       {"'" + yesterday + "'::timestamptz - interval '1 ms'", std::string("NULL")}) {
    connection_.exec("UPDATE tally.partition_state SET last_log_time = " + clock +
                     " WHERE partition = 2");
    EXPECT_THAT(refusal(150),
                testing::AllOf(HasSubstr("--ceiling"), HasSubstr("older_than_memory")));
    ASSERT_TRUE(set(150, ceiling, LogTimeMode::kDryRun));
    EXPECT_THAT(out_.str(), HasSubstr("but before " + yesterday + ", will be late"));
  }
  connection_.exec("UPDATE tally.partition_state SET last_log_time = '" + yesterday +
                   "' WHERE partition = 2");
  EXPECT_TRUE(set(150));
}

// A commit that passed the fence is waited for: what it decided is not set otherwise.
TEST_F(LogTime, WaitsForACommitUnderWay) {
  Connection committer = database_.connect();
  auto commit = committer.begin();
  commit.exec("UPDATE tally.partition_state SET next_offset = 140 WHERE partition = 2");
  commit.exec("SELECT FROM tally.catalogue_version FOR SHARE");
  auto done = std::async(std::launch::async, [&] { return set(150); });
  Connection watch = database_.connect();
  ASSERT_TRUE(eventually(watch,
                         "EXISTS (SELECT FROM pg_stat_activity WHERE "
                         "datname = current_database() AND "
                         "wait_event_type = 'Lock')"));
  commit.commit();
  ASSERT_TRUE(done.get());
  EXPECT_EQ(stored().substr(0, 8), "140-150 ");
}

}  // namespace
}  // namespace tally::integration
