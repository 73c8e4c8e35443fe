#include "tests/support/generator/pacer.h"

#include "tests/support/generator/publications.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

namespace tally::generator {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using Time = Pacer::Clock::time_point;

TEST(Pacer, TheTimetableDoesNotDrift) {
  const Time start{hours(5)};
  EXPECT_EQ(Pacer(100'000, start).due(0), start);
  EXPECT_EQ(Pacer(100'000, start).due(1), start + microseconds(10));
  EXPECT_EQ(Pacer(3, start).due(1), start + nanoseconds(333'333'333));
  EXPECT_EQ(Pacer(3, start).due(3'000'000'000), start + seconds(1'000'000'000));
}

TEST(Pacer, ALateRecordDoesNotPutOffTheOnesBehindIt) {
  const Pacer pacer(1'000, Pacer::Clock::now() - seconds(10));
  EXPECT_GE(pacer.await(0), seconds(10));
  EXPECT_GE(pacer.await(9'000), seconds(1));
  EXPECT_LT(pacer.await(9'000), pacer.await(0) - seconds(8));
}

TEST(Pacer, NoRecordComesBeforeItIsDue) {
  const Time start = Pacer::Clock::now();
  const Pacer pacer(1'000, start);
  for (const std::int64_t number : {10, 11, 15}) {
    EXPECT_GE(pacer.await(number), Pacer::Clock::duration::zero());
    EXPECT_GE(Pacer::Clock::now() - start, milliseconds(number));
  }
}

TEST(Publications, OneOfSoManyIsWrittenAndTheLastAnswerIsKnown) {
  Publications published(2, 4);
  const Time due{nanoseconds(1'000)};
  for (std::int64_t number = 0; number < 4; ++number) {
    published.note(number, 7, 50 + number, due, due + nanoseconds(number));
  }
  EXPECT_EQ(published.last_acked(), due + nanoseconds(3));
  const auto path = std::filesystem::path(testing::TempDir()) / "published.csv";
  published.write(path);
  std::ifstream file(path);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  EXPECT_EQ(text, "partition,offset,due_ns,acked_ns\n7,50,1000,1000\n7,52,1000,1002\n");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace tally::generator
