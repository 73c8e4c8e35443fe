// A folder of a test's own.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace tally::producer::publish {

class Scratch {
 public:
  Scratch() {
    std::string name = ::testing::TempDir() + "tally-publish-XXXXXX";
    EXPECT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
  }
  ~Scratch() { std::filesystem::remove_all(folder_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ / name; }
  void write(const std::string& name, std::string_view text) const {
    std::ofstream(path(name), std::ios::binary | std::ios::trunc) << text;
  }
  void append(const std::string& name, std::string_view text) const {
    std::ofstream(path(name), std::ios::binary | std::ios::app) << text;
  }
  void rename(const std::string& from, const std::string& to) const {
    std::filesystem::rename(path(from), path(to));
  }
  // Sets when it was last written, in seconds after a moment an hour ago.
  void written(const std::string& name, int seconds) const {
    std::filesystem::last_write_time(path(name), begun_ + std::chrono::seconds(seconds));
  }

 private:
  std::filesystem::file_time_type begun_ =
      std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
  std::filesystem::path folder_;
};

}  // namespace tally::producer::publish
