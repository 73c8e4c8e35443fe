#include "producer/serve/keys.h"

#include "core/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace tally::producer::serve {
namespace {

using testing::HasSubstr;

std::string without_tenant(const std::string& line) { return line.substr(0, line.rfind(' ')); }

class KeysTest : public testing::Test {
 protected:
  KeysTest() : path_(testing::TempDir() + "keys-file-" + std::to_string(::getpid())) {}
  ~KeysTest() override { std::filesystem::remove(path_); }
  core::Result<void> read(const std::string& lines) {
    std::ofstream(path_) << lines;
    return keys_.read_file(path_);
  }

  const std::string path_;
  Keys keys_{""};
};

TEST_F(KeysTest, WithoutFileAndTokenEverybodyMaySend) {
  EXPECT_TRUE(keys_.open_to_all());
  ASSERT_NE(keys_.find(""), nullptr);
  EXPECT_EQ(keys_.find("")->tenant, "");
}

TEST_F(KeysTest, AnEmptyFileLetsNobodyIn) {
  ASSERT_TRUE(read("# nobody yet\n"));
  EXPECT_FALSE(keys_.open_to_all());
  EXPECT_EQ(keys_.find(""), nullptr);
  EXPECT_EQ(keys_.find("tk_"), nullptr);
}

TEST_F(KeysTest, ALineIsItsKeysAlone) {
  const NewKey one = new_key("*").value();
  const NewKey bound = new_key("a tenant").value();
  ASSERT_TRUE(read("# keys\n\n" + one.line + "\r\n" + bound.line + "\n"));
  EXPECT_EQ(keys_.size(), 2U);
  ASSERT_NE(keys_.find(one.key), nullptr);
  EXPECT_EQ(keys_.find(one.key)->tenant, "");
  ASSERT_NE(keys_.find(bound.key), nullptr);
  EXPECT_EQ(keys_.find(bound.key)->tenant, "a tenant");
  EXPECT_EQ(keys_.find(bound.key)->id, bound.key.substr(3, 16));
  // What stands in the file is no key, and neither is a key with one digit changed.
  EXPECT_EQ(keys_.find(one.line), nullptr);
  for (std::size_t i = 0; i < one.key.size(); ++i) {
    std::string wrong = one.key;
    wrong[i] = wrong[i] == '0' ? '1' : '0';
    EXPECT_EQ(keys_.find(wrong), nullptr) << i;
  }
  EXPECT_EQ(keys_.find(one.key + "0"), nullptr);
  EXPECT_EQ(keys_.find(one.key.substr(0, 19) + bound.key.substr(19)), nullptr);
}

TEST_F(KeysTest, ANewFileReplacesTheKeysAndKeepsWhatIsCounted) {
  const NewKey stays = new_key("*").value();
  const NewKey goes = new_key("*").value();
  ASSERT_TRUE(read(stays.line + "\n" + goes.line + "\n"));
  keys_.find(stays.key)->in_flight = 7;
  ASSERT_TRUE(read(stays.line + "\n"));
  EXPECT_EQ(keys_.find(goes.key), nullptr);
  EXPECT_EQ(keys_.find(stays.key)->in_flight, 7U);
  ASSERT_TRUE(read(without_tenant(stays.line) + " acme\n"));
  EXPECT_EQ(keys_.find(stays.key)->tenant, "acme");
}

TEST_F(KeysTest, ABadFileChangesNothingAndNamesTheLine) {
  const NewKey one = new_key("*").value();
  ASSERT_TRUE(read(one.line + "\n"));
  const std::string open = without_tenant(one.line);
  const std::string too_long = open + " " + std::string(core::kMaxTenantIdBytes + 1, 'x') + "\n";
  for (const auto& [lines, problem] : std::initializer_list<std::pair<std::string, const char*>>{
           {"# x\n" + one.key + "\n", ":2: it must read `ID HASH TENANT`"},
           {one.line.substr(0, 60) + "\n", ":1: it must read `ID HASH TENANT`"},
           {one.line + "\n" + one.line + "\n", ":2: the key "},
           // Cut short, it would open every tenant or another one.
           {open + "\n", ":1: tenant is missing"},
           {open + " \n", ":1: tenant is missing"},
           {open + " acm", ":1: the last line does not end"},
           {too_long, ":1: tenant has 129 bytes"}}) {
    const auto result = read(lines);
    ASSERT_FALSE(result) << lines;
    EXPECT_THAT(result.error().message, HasSubstr(path_ + problem));
    EXPECT_NE(keys_.find(one.key), nullptr);
  }
  EXPECT_FALSE(keys_.read_file(path_ + ".none"));
}

TEST_F(KeysTest, ATenantThatNoEventCouldHaveGetsNoKey) {
  EXPECT_FALSE(new_key(std::string(core::kMaxTenantIdBytes + 1, 'x')));
  EXPECT_FALSE(new_key("a\nb"));
  EXPECT_FALSE(new_key(""));
}

TEST_F(KeysTest, TwoKeysAreNeverAlike) {
  EXPECT_NE(new_key("*").value().key, new_key("*").value().key);
}

}  // namespace
}  // namespace tally::producer::serve
