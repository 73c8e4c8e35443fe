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
  // A file that is born later than all before it: their clock goes in steps of some milliseconds.
  void give_birth(const std::string& name, std::string_view text) const {
    const auto before = newest();
    do {
      std::filesystem::remove(path("tick"));
      write("tick", "");
    } while (std::filesystem::last_write_time(path("tick")) <= before);
    std::filesystem::remove(path("tick"));
    write(name, text);
  }

 private:
  [[nodiscard]] std::filesystem::file_time_type newest() const {
    write("tick", "");
    return std::filesystem::last_write_time(path("tick"));
  }
  std::filesystem::path folder_;
};

}  // namespace tally::producer::publish
