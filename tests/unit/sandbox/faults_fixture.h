// A sandbox with one meter, and faults in its way.
#pragma once

#include "tests/unit/sandbox/sandbox_fixture.h"

namespace tally::sandbox {

class FaultsTest : public SandboxTest {
 protected:
  void SetUp() override {
    start();
    meter();
  }
  void strike(const std::string& kind) {
    faults(R"({"match":"meter_events","kind":")" + kind + "\"}");
  }
  std::string plan(const std::string& body) {
    const auto response = call("POST", "/sandbox/fault_plan", body);
    EXPECT_EQ(response.status, 200) << response.body;
    return response.body;
  }
  int counted() { return totals()["tokens"]["events"]; }
};

}  // namespace tally::sandbox
