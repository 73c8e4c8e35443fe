#include "exporter/doctor/finding.h"

#include <gtest/gtest.h>

namespace tally::exporter::doctor {
namespace {

const Findings kSome = {{Level::kOk, "postgres", "answers", ""},
                        {Level::kWarn, "stripe clock", "is \"late\"\n", "set it"},
                        {Level::kFail, "x", "is off", ""}};

TEST(DoctorFinding, ColumnsStandUnderEachOther) {
  EXPECT_EQ(text_of(kSome),
            "ok    postgres      answers\n"
            "warn  stripe clock  is \"late\"?\n"
            "                    -> set it\n"
            "fail  x             is off\n"
            "1 ok, 1 warnings, 1 failed.\n");
  EXPECT_EQ(text_of({}), "0 ok, 0 warnings, 0 failed.\n");
}

TEST(DoctorFinding, JsonForPrograms) {
  EXPECT_EQ(json_of({{Level::kWarn, "c", "says \"x\"", "do"}}),
            R"({"result":"warn","checks":[{"check":"c","level":"warn","says":"says \"x\"",)"
            R"("next":"do"}]})"
            "\n");
  EXPECT_EQ(json_of({}), "{\"result\":\"ok\",\"checks\":[]}\n");
}

TEST(DoctorFinding, TheWorstCounts) {
  EXPECT_EQ(worst({}), Level::kOk);
  EXPECT_EQ(worst(kSome), Level::kFail);
  EXPECT_EQ(worst({kSome[0], kSome[1]}), Level::kWarn);
}

}  // namespace
}  // namespace tally::exporter::doctor
