#include "producer/load/account.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace tally::producer::load {
namespace {

using std::chrono::microseconds;
using testing::HasSubstr;
using testing::Not;

LoadAccount example() {
  LoadAccount account;
  account.due = 12'345;
  account.sent = 12'335;
  account.acked = 12'300;
  for (int event = 0; event < 12'300; ++event) account.latency.record(microseconds(2'010));
  account.count(End::kNotSent, "no connection", 7);
  account.count(End::kNotSent, "stopped", 3);
  account.count(End::kRefused, "429 too_many_in_flight", 20);
  account.count(End::kRefused, "503 stopping", 5);
  account.count(End::kLost, "_MSG_TIMED_OUT", 6);
  account.count(End::kUnanswered, "", 4);
  account.seed = 42;
  account.rate = 1'000;
  account.spent = microseconds(10'990'000);
  return account;
}

TEST(LoadAccountTest, TheTableLinesUp) {
  const std::string table = to_table(example());
  EXPECT_THAT(table, HasSubstr("due                                              12,345\n"
                               "= sent                                           12,335\n"
                               "+ not sent                                           10\n"
                               "    no connection                                     7\n"
                               "    stopped                                           3\n"
                               "sent                                             12,335\n"
                               "= acked                                          12,300\n"
                               "+ refused                                            25\n"
                               "    429 too_many_in_flight                           20\n"
                               "    503 stopping                                      5\n"
                               "+ lost                                                6\n"
                               "    _MSG_TIMED_OUT                                    6\n"
                               "+ unanswered                                          4\n"));
  EXPECT_THAT(table, HasSubstr("    p99                                            2.01\n"));
  EXPECT_THAT(table, HasSubstr("\nseed 42; 10.9 s, 1,119 acked/s; 45 of 12,345 events were not "
                               "acked\n"));
  std::istringstream lines(table.substr(0, table.find("\nseed")));
  for (std::string line; std::getline(lines, line);) EXPECT_EQ(line.size(), 55U) << line;
}

TEST(LoadAccountTest, JsonHoldsTheSame) {
  LoadAccount account = example();
  account.problem = "say \"no\"";
  EXPECT_EQ(
      to_json(account),
      R"({"due":12345,"sent":12335,"not_sent":10,"not_sent_by_reason":{"no connection":7,)"
      R"("stopped":3},)"
      R"("acked":12300,"refused":25,"refused_by_reason":{"429 too_many_in_flight":20,)"
      R"("503 stopping":5},)"
      R"("lost":6,"lost_by_reason":{"_MSG_TIMED_OUT":6},"unanswered":4,"copies":0,"sent_again":0,)"
      R"("told_to_wait":0,"most_behind":0,"most_late_us":0,"kept_the_rate":true,)"
      R"("latency_us":{"p50":2010,"p90":2010,"p99":2010,"p99.9":2010,"max":2010},"seed":42,)"
      R"("rate":1000,"spent_us":10990000,"acked_per_second":1119,"problem":"say \"no\"",)"
      R"("complaint":""})");
}

TEST(LoadAccountTest, OnlyAllAckedIsWhole) {
  LoadAccount account;
  EXPECT_TRUE(account.whole());
  account.due = account.sent = 1;
  EXPECT_FALSE(account.whole());
  account.acked = 1;
  account.latency.record(microseconds(1));
  EXPECT_TRUE(account.whole());
  EXPECT_THAT(to_table(account), HasSubstr("every event was acked\n"));
  account.problem = "stopped";
  EXPECT_FALSE(account.whole());
}

TEST(LoadAccountTest, LatenessIsSaidWithTheNumber) {
  LoadAccount account = example();
  account.most_late = microseconds(100'000);
  EXPECT_THAT(to_table(account), Not(HasSubstr("was not kept")));
  account.most_late = microseconds(100'001);
  account.most_behind = 1'234;
  EXPECT_THAT(to_table(account), HasSubstr("the rate of 1,000/s was not kept: up to 1,234 events"));
  EXPECT_THAT(to_json(account), HasSubstr("\"kept_the_rate\":false"));
}

TEST(LoadAccountTest, NothingAckedHasNoLatencies) {
  LoadAccount account;
  account.due = account.sent = account.unanswered = 1;
  EXPECT_THAT(to_table(account), Not(HasSubstr("p50")));
  EXPECT_THAT(to_json(account), HasSubstr("\"latency_us\":null"));
}

TEST(LoadAccountDeathTest, WhatDoesNotBalanceIsABug) {
  example().check();
  LoadAccount lost_one = example();
  --lost_one.unanswered;
  EXPECT_DEATH(lost_one.check(), "unanswered 3");
  LoadAccount one_more = example();
  ++one_more.due;
  EXPECT_DEATH(one_more.check(), "due 12346");
}

}  // namespace
}  // namespace tally::producer::load
