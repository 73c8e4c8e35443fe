#include "admin/replay_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace tally::admin {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using Outcome = ReplayReport::Outcome;

StoredReject reject(std::int64_t offset, std::string tenant, std::string reason) {
  StoredReject stored;
  stored.partition = core::PartitionId(3);
  stored.offset = core::Offset(offset);
  stored.record_class = "rejected";
  stored.reason = std::move(reason);
  stored.tenant = std::move(tenant);
  return stored;
}

ReplayReport example() {
  ReplayReport report;
  report.already("late", "older_than_horizon", "acme", 7);
  report.readmitted(reject(1, "acme", "time_in_future"));
  report.readmitted(reject(2, "acme", "time_in_future"));
  report.refused(reject(9, "", "malformed_json"), "no \"id\"");
  report.not_kept(core::PartitionId(1), core::Offset(10), core::Offset(90), 33);
  return report;
}

std::string printed(const ReplayReport& report, Format format, Outcome outcome) {
  std::ostringstream out;
  report.print(format, outcome, out);
  return out.str();
}

TEST(ReplayReport, AsATable) {
  EXPECT_EQ(printed(example(), Format::kTable, Outcome::kDryRun),
            R"(class     reason              tenant  to readmit  already  refused  waiting
--------  ------------------  ------  ----------  -------  -------  -------
late      older_than_horizon  acme             0        7        0        0
rejected  malformed_json      -                0        0        1        0
rejected  time_in_future      acme             2        0        0        0

Refused:
partition  offset  reason          why
---------  ------  --------------  -------
        3       9  malformed_json  no "id"
Not kept: 33 rejects of any kind in partition 1, offsets 10 to 90, )"
            R"(were past the budget of their commit: their bytes stand only in the log.
2 records would be readmitted; 7 already replayed, 1 refused. Nothing was stored: --apply does it.
)");
}

TEST(ReplayReport, AsJson) {
  const std::string expected =
      R"({"kind":"group","class":"late","reason":"older_than_horizon","tenant":"acme",)"
      R"("readmitted":0,"already":7,"refused":0,"waiting":0})"
      "\n"
      R"({"kind":"group","class":"rejected","reason":"malformed_json","tenant":null,)"
      R"("readmitted":0,"already":0,"refused":1,"waiting":0})"
      "\n"
      R"({"kind":"group","class":"rejected","reason":"time_in_future","tenant":"acme",)"
      R"("readmitted":2,"already":0,"refused":0,"waiting":0})"
      "\n"
      R"({"kind":"refused","partition":3,"offset":9,"class":"rejected",)"
      R"("reason":"malformed_json","tenant":null,"why":"no \"id\""})"
      "\n"
      R"({"kind":"not_kept","partition":1,"first_offset":10,"last_offset":90,"rows":33})"
      "\n"
      R"({"kind":"total","applied":true,"limit_reached":false,)"
      R"("readmitted":2,"already":7,"refused":1,"waiting":0})"
      "\n";
  EXPECT_EQ(printed(example(), Format::kJson, Outcome::kApplied), expected);
}

TEST(ReplayReport, WhatStillWaitsIsSaid) {
  ReplayReport report = example();
  report.waiting(reject(3, "acme", "time_in_future"));
  EXPECT_THAT(
      printed(report, Format::kTable, Outcome::kApplied),
      HasSubstr("1 refused, 1 still waiting for their partitions since an earlier replay."));
  EXPECT_THAT(printed(report, Format::kJson, Outcome::kApplied),
              HasSubstr(R"("tenant":"acme","readmitted":2,"already":0,"refused":0,"waiting":1})"));
  EXPECT_THAT(printed(example(), Format::kTable, Outcome::kApplied), Not(HasSubstr("waiting for")));
}

TEST(ReplayReport, TheLimitIsSaid) {
  EXPECT_THAT(printed(example(), Format::kTable, Outcome::kAppliedToLimit),
              HasSubstr("--limit reached"));
  EXPECT_THAT(printed(example(), Format::kTable, Outcome::kApplied), Not(HasSubstr("--limit")));
  EXPECT_THAT(printed(example(), Format::kJson, Outcome::kDryRunToLimit),
              HasSubstr(R"("applied":false,"limit_reached":true)"));
}

TEST(ReplayReport, ALongTableIsCutAndSaysSo) {
  ReplayReport report;
  for (int i = 0; i < 60; ++i)
    report.refused(reject(i, "tenant-" + std::to_string(i), "bad_time"), "why");
  const std::string table = printed(report, Format::kTable, Outcome::kDryRun);
  EXPECT_THAT(table, HasSubstr("10 more lines"));
  EXPECT_THAT(table, HasSubstr("10 more refused records"));
  EXPECT_THAT(printed(report, Format::kJson, Outcome::kDryRun), HasSubstr(R"("offset":59)"));
}

}  // namespace
}  // namespace tally::admin
