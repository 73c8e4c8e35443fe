// A sandbox on a state file of its own. Its settings stand in the file, so that a restart keeps
// what a test changed.
#pragma once

#include "tests/unit/sandbox/sandbox_fixture.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace tally::sandbox {

class StateFileTest : public SandboxTest {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "sandbox_state." + std::to_string(::getpid());
    restart();
    set(gentle());
  }
  void TearDown() override {
    sandbox_.reset();
    std::filesystem::remove(path_);
  }
  void restart() { start_with(nlohmann::json::object(), path_); }
  // What a start says that refuses the file; "" when it takes it.
  std::string refusal() {
    try {
      restart();
    } catch (const std::runtime_error& problem) {
      return problem.what();
    }
    return "";
  }
  [[nodiscard]] std::string text() const {
    std::stringstream out;
    out << std::ifstream(path_, std::ios::binary).rdbuf();
    return out.str();
  }
  // What the file holds from now on.
  void write(const std::string& content) {
    sandbox_.reset();
    std::ofstream(path_, std::ios::binary) << content;
  }
  // A line of what settled an event alone.
  static std::string settled_line(const std::string& lines) {
    std::stringstream stream(lines);
    for (std::string line; std::getline(stream, line);) {
      if (line.find("\"settled\"") == std::string::npos) continue;
      for (const auto& change : nlohmann::json::parse(line)) {
        if (change.contains("settled")) return nlohmann::json::array({change}).dump() + "\n";
      }
    }
    return "";
  }
  std::string path_;
};

}  // namespace tally::sandbox
