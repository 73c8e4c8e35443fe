// What the daemon's metrics say.
#include "producer/serve/probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tally::producer::serve {
namespace {

using testing::HasSubstr;

TEST(ServeProbe, CountsEachClosedConnectionOnce) {
  runtime::metrics::Registry registry;
  Probe probe(registry);
  const auto says = [&](int too_many, int no_memory) {
    const std::string name = "tally_producer_http_connections_closed_total{reason=";
    EXPECT_THAT(registry.exposition(),
                HasSubstr(name + "\"too_many\"} " + std::to_string(too_many) + "\n"));
    EXPECT_THAT(registry.exposition(),
                HasSubstr(name + "\"no_memory\"} " + std::to_string(no_memory) + "\n"));
  };
  says(0, 0);
  probe.closed({.too_many = 3, .no_memory = 1});
  probe.closed({.too_many = 3, .no_memory = 1});
  says(3, 1);
  probe.closed({.too_many = 5, .no_memory = 2});
  says(5, 2);
}

}  // namespace
}  // namespace tally::producer::serve
