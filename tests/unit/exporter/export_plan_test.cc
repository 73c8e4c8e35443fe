// Each case is a small statement of account: what the totals say, what was planned, what is born.
#include "exporter/export_plan.h"

#include "exporter/identifier.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace tally::exporter {
namespace {

using core::Decimal;
using core::Rounding;
using core::Timestamp;

Decimal number(const std::string& text) { return Decimal::parse(text).value(); }
Timestamp at(const std::string& text) { return core::parse_rfc3339(text).value(); }

const core::Window kNovember{at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z")};
const core::Window kDecember{at("2026-12-01T00:00:00Z"), at("2027-01-01T00:00:00Z")};

core::IdentityHasher hasher() {
  core::IdentityHasher::Key key{};
  key[0] = std::byte{7};
  return core::IdentityHasher(key);
}

// One series; every run() plans, and books what was born as the outbox does.
class Book {
 public:
  Series series{"cus_1",       "acme",      "ai_tokens", "ai_tokens",
                Formula::kSum, number("1"), 0,           Rounding::kHalfUp};
  std::vector<PeriodAccount> accounts;
  std::vector<bool> open{false};
  AfterRejection after_rejection = AfterRejection::kWait;
  UsedMinutes used;
  DuePlan due;
  BirthPlan births;

  void total(const std::string& text, core::Window period = kNovember) {
    for (PeriodAccount& account : accounts) {
      if (account.period == period) {
        account.total = text;
        return;
      }
    }
    accounts.push_back({0, period, text, {}, {}});
  }

  // "value@minute value@minute" of the rows that were born.
  std::string run(const std::string& now) {
    due = find_due({&series, 1}, accounts, open, at(now), after_rejection);
    births = assign_minutes({&series, 1}, accounts, due, used, hasher());
    std::string text;
    for (std::size_t i = 0; i < births.rows.size(); ++i) {
      const NewRow& row = births.rows[i];
      Progress& progress = accounts[births.accounts[i]].progress;
      progress.planned = progress.planned.checked_add(row.value).value();
      progress.stated = row.value;
      progress.revision = row.revision;
      progress.last_event_time = row.event_time;
      text += (text.empty() ? "" : " ") + row.value.to_string() + "@" +
              core::to_rfc3339(row.event_time).substr(5, 11);
    }
    return text;
  }
};

TEST(ExportPlan, CarriesTheFractionInsideThePeriodAndRoundsItAtItsClose) {
  Book book;
  book.series.multiplier = number("0.001");
  book.total("1999.5");
  EXPECT_EQ(book.run("2026-11-10T10:00:30Z"), "1@11-10T10:00");
  EXPECT_EQ(book.births.rows[0].quantity, number("1000"));
  EXPECT_EQ(book.run("2026-11-10T10:05:30Z"), "") << "0.9995 is carried";
  book.total("2000.5");
  EXPECT_EQ(book.run("2026-11-10T10:10:30Z"), "1@11-10T10:10");
  book.total("2499.999");
  EXPECT_EQ(book.run("2026-11-30T23:59:59Z"), "");
  EXPECT_EQ(book.run("2026-12-01T00:00:00Z"), "") << "0.499999 is rounded down for good";
  book.total("2500");
  EXPECT_EQ(book.run("2026-12-01T00:05:00Z"), "1@11-30T23:59") << "half up, inside November";
  book.total("2600");
  EXPECT_EQ(book.run("2026-12-01T00:10:00Z"), "") << "already rounded up";
}

TEST(ExportPlan, ACorrectionIsASignedIncrement) {
  Book book;
  book.total("10");
  EXPECT_EQ(book.run("2026-11-10T10:00:00Z"), "10@11-10T10:00");
  book.total("7.5");
  EXPECT_EQ(book.run("2026-11-10T10:05:00Z"), "-3@11-10T10:05");
  book.total("-2.5");
  EXPECT_EQ(book.run("2026-11-10T10:10:00Z"), "-9@11-10T10:10") << "toward zero: -2";
}

TEST(ExportPlan, TheOldestPeriodGoesFirstAndAnOpenRowBlocksTheSeries) {
  Book book;
  book.total("5", kDecember);
  book.total("3", kNovember);
  EXPECT_EQ(book.run("2026-12-01T00:00:59Z"), "3@11-30T23:59");
  EXPECT_TRUE(book.due.due[0].more_follows);
  book.open = {true};
  EXPECT_EQ(book.run("2026-12-01T00:01:59Z"), "");
  EXPECT_EQ(book.due.behind_open_rows, 1U);
  book.open = {false};
  EXPECT_EQ(book.run("2026-12-01T00:00:59Z"), "5@12-01T00:00") << "the first minute of December";
  EXPECT_FALSE(book.due.due[0].more_follows);
}

TEST(ExportPlan, MoreThan15DigitsGoInPartsOneAfterTheOther) {
  Book book;
  book.series.decimals = 3;
  book.total("1234567890123456.789");
  EXPECT_EQ(book.run("2026-11-10T10:00:00Z"), "999999999999999@11-10T10:00");
  EXPECT_TRUE(book.due.due[0].more_follows);
  EXPECT_EQ(book.run("2026-11-10T10:01:00Z"), "234567890123457@11-10T10:01");
  EXPECT_EQ(book.run("2026-11-10T10:02:00Z"), "0.789@11-10T10:02");
  EXPECT_EQ(book.run("2026-11-10T10:03:00Z"), "");
}

TEST(ExportPlan, TakesTheNewestFreeMinuteInsideThePeriod) {
  Book book;
  book.total("1");
  book.used[0] = {at("2026-11-10T09:59:00Z"), at("2026-11-10T10:00:00Z")};
  EXPECT_EQ(book.run("2026-11-10T10:00:40Z"), "1@11-10T09:58");
  // The period's very first minute is in use, and no other has begun.
  Book first;
  first.total("1");
  first.used[0] = {kNovember.start};
  EXPECT_EQ(first.run("2026-11-01T00:00:40Z"), "");
  ASSERT_EQ(first.births.waiting.size(), 1U);
  // A period that has not begun by our clock (events may be 5 minutes ahead).
  Book ahead;
  ahead.total("1", kDecember);
  EXPECT_EQ(ahead.run("2026-11-30T23:58:00Z"), "");
  EXPECT_EQ(ahead.due.waiting.size(), 1U);
}

TEST(ExportPlan, SecondExactPeriodsUseOnlyMinutesWhollyInside) {
  Book book;
  const core::Window odd{at("2026-11-10T10:00:30Z"), at("2026-11-10T10:03:30Z")};
  book.total("4", odd);
  EXPECT_EQ(book.run("2026-11-10T10:00:59Z"), "") << "10:00 begins before the period";
  EXPECT_EQ(book.run("2026-11-10T12:00:00Z"), "4@11-10T10:02") << "10:03 ends after it";
}

TEST(ExportPlan, PastStripes35DaysItIsHeldWithAReason) {
  Book book;
  book.total("9");
  EXPECT_EQ(book.run("2027-01-04T22:00:00Z"), "9@11-30T23:59");
  Book late;
  late.total("9");
  EXPECT_EQ(late.run("2027-01-05T00:00:00Z"), "");
  ASSERT_EQ(late.due.held.size(), 1U);
  EXPECT_NE(late.due.held[0].reason.find("35 days"), std::string::npos);
}

TEST(ExportPlan, NumbersBeyondDecimalAreHeldNeverWrapped) {
  for (const char* total : {"999999999999999999999999999", "NaN", "0.0000000000001"}) {
    Book book;
    book.total(total);
    EXPECT_EQ(book.run("2026-11-10T10:00:00Z"), "");
    ASSERT_EQ(book.due.held.size(), 1U) << total;
    EXPECT_NE(book.due.held[0].reason.find(total), std::string::npos);
  }
  Book huge;
  huge.total("1000000000000000000");
  EXPECT_EQ(huge.run("2026-11-10T10:00:00Z"), "");
  EXPECT_EQ(huge.due.held.size(), 1U);
}

TEST(ExportPlan, AGaugeIsStatedWhenItChangesAndAgainInEachPeriod) {
  Book book;
  book.series.formula = Formula::kLast;
  book.total("12.4");
  book.accounts[0].newest_reading = at("2026-11-10T08:15:20Z");
  EXPECT_EQ(book.run("2026-11-10T10:00:00Z"), "12@11-10T08:15") << "the minute of its reading";
  EXPECT_EQ(book.run("2026-11-10T10:05:00Z"), "") << "not changed";
  book.total("12.6");
  EXPECT_EQ(book.run("2026-11-10T10:10:00Z"), "13@11-10T08:16") << "later than the one before";
  book.total("13", kDecember);
  book.accounts[1].newest_reading = book.accounts[0].newest_reading;
  EXPECT_EQ(book.run("2026-12-01T00:00:10Z"), "13@12-01T00:00") << "re-stated at the start";
  book.total("1234567890123456", kDecember);
  EXPECT_EQ(book.run("2026-12-01T01:00:10Z"), "");
  EXPECT_EQ(book.due.held.size(), 1U) << "a gauge cannot be split";
}

// A gauge's row stood in the last minute of its period and was rejected: no later minute was left.
TEST(ExportPlan, AGaugeLeavesTheEndOfItsPeriodFree) {
  Book book;
  book.series.formula = Formula::kLast;
  book.total("7");
  book.accounts[0].newest_reading = at("2026-11-30T23:59:50Z");
  EXPECT_EQ(book.run("2026-12-01T00:00:10Z"), "7@11-30T21:59");
  book.accounts[0].progress.stated.reset();
  EXPECT_EQ(book.run("2026-12-01T00:05:10Z"), "7@11-30T22:00") << "after a rejection";
  Book now;
  now.series.formula = Formula::kLast;
  now.total("7");
  now.accounts[0].newest_reading = at("2026-11-01T00:00:20Z");
  EXPECT_EQ(now.run("2026-11-01T00:00:30Z"), "7@11-01T00:00");
}

TEST(ExportPlan, AfterRejectionsItWaitsLongerEachTimeUnlessAPersonAsks) {
  Book book;
  book.total("5");
  book.accounts[0].progress.rejections = 3;
  book.accounts[0].progress.last_rejected_at = at("2026-11-10T10:00:00Z");
  EXPECT_EQ(book.run("2026-11-10T10:19:59Z"), "");
  EXPECT_EQ(book.due.waiting.size(), 1U);
  book.after_rejection = AfterRejection::kTryNow;
  EXPECT_EQ(book.run("2026-11-10T10:19:59Z"), "5@11-10T10:19");
  Book patient;
  patient.total("5");
  patient.accounts[0].progress = book.accounts[0].progress;
  patient.accounts[0].progress.planned = Decimal();
  EXPECT_EQ(patient.run("2026-11-10T10:20:00Z"), "5@11-10T10:20");
}

TEST(Identifier, IsShortStableAndTellsEveryRowApart) {
  Series series{"cus_1",       "acme",      "ai_tokens", "ai_tokens",
                Formula::kSum, number("1"), 0,           Rounding::kHalfUp};
  NewRow row{0, kNovember, number("5"), number("5"), at("2026-11-10T10:00:00Z"), 1, {}, {}};
  std::set<std::string> seen;
  const auto add = [&](const core::IdentityHasher& key) {
    const std::string identifier = make_identifier(key, series, row);
    EXPECT_LE(identifier.size(), kMaxIdentifierBytes);
    EXPECT_EQ(identifier, make_identifier(key, series, row));
    EXPECT_TRUE(seen.insert(identifier).second) << identifier;
  };
  add(hasher());
  EXPECT_EQ(seen.begin()->substr(0, 32), "tally.acme.ai_tokens.20261101.1.");
  row.revision = 2;
  add(hasher());
  row.value = number("6");
  add(hasher());
  row.event_time = at("2026-11-10T10:01:00Z");
  add(hasher());
  row.period = kDecember;
  add(hasher());
  series.stripe_customer = "cus_2";
  add(hasher());
  series.tenant = std::string(128, 'x');
  series.meter = std::string(64, 'm');
  add(hasher());
  series.tenant = "caf\xc3\xa9 & co";
  add(hasher());
  core::IdentityHasher::Key other_database{};
  add(core::IdentityHasher(other_database));
  EXPECT_EQ(make_idempotency_key("a", 1), "a");
  EXPECT_EQ(make_idempotency_key("a", 2), "a/2");
}

}  // namespace
}  // namespace tally::exporter
