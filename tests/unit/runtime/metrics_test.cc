#include "runtime/metrics/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace tally::runtime::metrics {
namespace {

using testing::HasSubstr;

TEST(MetricsTest, ExpositionShowsEveryKind) {
  Registry registry;
  registry.counter("tally_test_events_total", "Events seen.", {{"class", "counted"}}).add(3);
  registry.gauge("tally_test_lag_records", "Lag.").set(42.5);
  Histogram histogram = registry.histogram("tally_test_commit_seconds", "Commits.", {0.1, 1});
  histogram.observe(0.05);
  histogram.observe(5);
  const std::string text = registry.exposition();
  EXPECT_THAT(text, HasSubstr("# HELP tally_test_events_total Events seen.\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE tally_test_events_total counter\n"));
  EXPECT_THAT(text, HasSubstr("tally_test_events_total{class=\"counted\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("tally_test_lag_records 42.5\n"));
  EXPECT_THAT(text, HasSubstr("tally_test_commit_seconds_bucket{le=\"0.1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("tally_test_commit_seconds_bucket{le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("tally_test_commit_seconds_count 2\n"));
}

TEST(MetricsTest, SameNameAndLabelsAreTheSameMetric) {
  Registry registry;
  registry.counter("tally_test_total", "T.", {{"a", "1"}}).add();
  registry.counter("tally_test_total", "T.", {{"a", "1"}}).add();
  registry.counter("tally_test_total", "T.", {{"a", "2"}}).add();
  const std::string text = registry.exposition();
  EXPECT_THAT(text, HasSubstr("tally_test_total{a=\"1\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("tally_test_total{a=\"2\"} 1\n"));
}

TEST(MetricsTest, GaugeMovesBothWays) {
  Registry registry;
  Gauge gauge = registry.gauge("tally_test_open", "Open.");
  gauge.add(5);
  gauge.add(-2);
  EXPECT_THAT(registry.exposition(), HasSubstr("tally_test_open 3\n"));
}

TEST(MetricsTest, LabelValuesAreEscaped) {
  Registry registry;
  registry.counter("tally_test_total", "T.", {{"a", "x\"y\\z\n"}}).add();
  EXPECT_THAT(registry.exposition(), HasSubstr(R"({a="x\"y\\z\n"} 1)"));
}

TEST(MetricsTest, BadNamesAndChangedKindsThrow) {
  Registry registry;
  EXPECT_THROW(registry.counter("no spaces", "T."), std::invalid_argument);
  registry.counter("tally_test_total", "T.");
  EXPECT_THROW(registry.gauge("tally_test_total", "T."), std::invalid_argument);
}

TEST(MetricsTest, CountersNeverShrink) {
  Registry registry;
  Counter counter = registry.counter("tally_test_total", "T.");
  EXPECT_DEATH(counter.add(-1), "CHECK failed");
}

}  // namespace
}  // namespace tally::runtime::metrics
