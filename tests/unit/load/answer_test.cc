#include "producer/load/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tally::producer::load {
namespace {

using runtime::http::Fate;
using runtime::http::Outcome;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Outcome answered(int status, std::string body, std::string_view retry_after = {}) {
  Outcome outcome;
  outcome.fate = Fate::kAnswered;
  outcome.response.status = status;
  outcome.response.body = std::move(body);
  if (!retry_after.empty()) outcome.response.headers.set("Retry-After", retry_after);
  return outcome;
}

std::string not_all_kept(std::string_view lists) {
  return R"({"code":"not_all_kept","detail":"slow")" + std::string(lists) + "}";
}

TEST(LoadAnswerTest, OnlyAcceptedIsAcked) {
  EXPECT_EQ(read_answer(answered(202, ""), 3).end, End::kAcked);
  for (const int status : {400, 401, 403, 404, 413, 415, 422, 431}) {
    const Answer answer = read_answer(answered(status, "what?"), 3);
    EXPECT_EQ(answer.end, End::kRefused) << status;
    EXPECT_EQ(answer.again, Again::kNever);
    EXPECT_EQ(answer.reason, std::to_string(status));
    EXPECT_THAT(answer.complaint, HasSubstr("what?"));
  }
}

// A proxy's 502, a bug's 500 and a 503 that says nothing counted as "took nothing".
TEST(LoadAnswerTest, WhoDoesNotSayThatNothingWasTakenLeavesItOpen) {
  for (const int status : {429, 500, 501, 502, 503, 504}) {
    for (const char* body : {"", "<h1>Bad gateway</h1>", "{}", R"({"code":"not_known_here"})"}) {
      const Answer answer = read_answer(answered(status, body), 3);
      EXPECT_EQ(answer.end, End::kUnanswered) << status << body;
      EXPECT_EQ(answer.again, Again::kMay);
      EXPECT_THAT(answer.complaint, HasSubstr(std::to_string(status)));
    }
  }
  EXPECT_EQ(read_answer(answered(500, R"({"code":"queue_full"})"), 3).end, End::kUnanswered);
  for (const int status : {200, 204, 301}) {  // not the daemon's, and no reason to try again
    const Answer answer = read_answer(answered(status, "what?"), 3);
    EXPECT_EQ(answer.end, End::kUnanswered) << status;
    EXPECT_EQ(answer.again, Again::kNever);
  }
  for (const char* code : {"queue_full", "closed", "stopping", "overloaded"}) {
    const Answer answer =
        read_answer(answered(503, R"({"code":")" + std::string(code) + R"("})"), 3);
    EXPECT_EQ(answer.end, End::kRefused) << code;
    EXPECT_EQ(answer.again, Again::kMay);
  }
}

TEST(LoadAnswerTest, WhatTheConnectionDid) {
  const Answer none = read_answer({Fate::kNotSent, {}, "connecting to x: refused"}, 3);
  EXPECT_EQ(none.end, End::kNotSent);
  EXPECT_EQ(none.again, Again::kMay);
  EXPECT_EQ(none.complaint, "connecting to x: refused");
  const Answer cut = read_answer({Fate::kUnknown, {}, "timed out"}, 3);
  EXPECT_EQ(cut.end, End::kUnanswered);
  EXPECT_EQ(cut.again, Again::kMay);
}

TEST(LoadAnswerTest, AProblemHasItsCodeAndTime) {
  const Answer slow =
      read_answer(answered(429, R"({"code":"too_many_in_flight","detail":"wait"})", "7"), 3);
  EXPECT_EQ(slow.end, End::kRefused);
  EXPECT_EQ(slow.reason, "429 too_many_in_flight");
  EXPECT_EQ(slow.again, Again::kMay);
  EXPECT_EQ(slow.wait, seconds(7));
  EXPECT_THAT(slow.complaint, HasSubstr("wait"));
  const Answer wrong = read_answer(answered(422, R"({"code":"invalid_events"})"), 3);
  EXPECT_EQ(wrong.reason, "422 invalid_events");
  EXPECT_EQ(wrong.again, Again::kNever);
  EXPECT_FALSE(wrong.wait);
  EXPECT_EQ(read_answer(answered(503, "", "Wed, 21 Oct 2026 07:28:00 GMT"), 3).wait, seconds(1));
  EXPECT_EQ(read_answer(answered(503, "", "99999"), 3).wait, seconds(3'600));
}

TEST(LoadAnswerTest, NotAllKeptNamesWhichOnes) {
  const Answer answer =
      read_answer(answered(503, not_all_kept(R"(,"not_kept":[0,4],"unknown":[2])"), "1"), 5);
  EXPECT_EQ(answer.end, End::kAcked);
  EXPECT_THAT(answer.not_kept, ElementsAre(0, 4));
  EXPECT_THAT(answer.unknown, ElementsAre(2));
  EXPECT_EQ(answer.wait, seconds(1));
}

TEST(LoadAnswerTest, AListThatCannotBeBelievedLeavesAllUnanswered) {
  for (const char* lists : {"", R"(,"not_kept":[0])", R"(,"not_kept":[5],"unknown":[])",
                            R"(,"not_kept":[-1],"unknown":[])", R"(,"not_kept":"all","unknown":[])",
                            R"(,"not_kept":[1],"unknown":["x"])"}) {
    const Answer answer = read_answer(answered(503, not_all_kept(lists)), 5);
    EXPECT_EQ(answer.end, End::kUnanswered) << lists;
    EXPECT_THAT(answer.not_kept, IsEmpty());
    EXPECT_THAT(answer.unknown, IsEmpty());
    EXPECT_EQ(answer.again, Again::kMay);
  }
}

}  // namespace
}  // namespace tally::producer::load
