// Files that whoever reads may not open: root, who may open all, becomes nobody for it.
#pragma once

#include "tests/unit/publish/scratch.h"

#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/types.h>
#include <unistd.h>

#include <filesystem>
#include <string>

namespace tally::producer::publish {

// Between logrotate's making of a file and its chown nobody else may read it.
class Forbidden : public ::testing::Test {
 protected:
  Forbidden() { std::filesystem::permissions(scratch.path(""), std::filesystem::perms(0777)); }
  ~Forbidden() override { become(me_); }
  void forbid(const std::string& name) {
    std::filesystem::permissions(scratch.path(name), std::filesystem::perms::none);
    if (me_ == 0) become(kNobody);
  }
  void allow(const std::string& name) {
    become(me_);
    std::filesystem::permissions(scratch.path(name), std::filesystem::perms(0644));
  }
  // For files, and this thread, alone: librdkafka's threads stay who they are.
  void become(uid_t user) {
    ::setfsuid(user);
    EXPECT_EQ(static_cast<uid_t>(::setfsuid(static_cast<uid_t>(-1))), user);
  }
  void rotate_to_what_is_forbidden() {
    scratch.rename("log", "log.1");
    scratch.give_birth("log", "two\n");
    forbid("log");
  }
  static constexpr uid_t kNobody = 65'534;
  const Scratch scratch;
  const uid_t me_ = ::geteuid();
};

}  // namespace tally::producer::publish
