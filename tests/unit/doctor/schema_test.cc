#include "exporter/doctor/database_checks.h"

#include <gtest/gtest.h>

namespace tally::exporter::doctor {
namespace {

TEST(DoctorSchema, AsManyMigrationsAsWereBuiltInAndNoneThatIsUnknown) {
  const Schema built{16, 16};
  EXPECT_EQ(check_schema({16, 16}, built).level, Level::kOk);
  EXPECT_EQ(check_schema({15, 15}, built).level, Level::kFail);
  EXPECT_EQ(check_schema({15, 16}, built).level, Level::kFail) << "one in between is missing";
  EXPECT_EQ(check_schema({0, 0}, built).next, "tally-admin migrate");
  const Finding newer = check_schema({17, 17}, built);
  EXPECT_EQ(newer.level, Level::kFail);
  EXPECT_NE(newer.next.find("same version"), std::string::npos);
  EXPECT_GE(built_schema().migrations, 16);
  EXPECT_EQ(built_schema().migrations, built_schema().last);
}

// A database that is away is a finding, and its password is in none.
TEST(DoctorSchema, ADatabaseThatIsAwayIsSaid) {
  const auto report = check_database("host=127.0.0.1 port=1 user=u password=hunter2",
                                     [] { return core::Timestamp(); });
  ASSERT_EQ(report.findings.size(), 1U);
  EXPECT_EQ(report.findings[0].level, Level::kFail);
  EXPECT_EQ(report.findings[0].check, "postgres");
  EXPECT_EQ(text_of(report.findings).find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace tally::exporter::doctor
