#include "admin/migrations.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace tally::admin {
namespace {

TEST(EmbeddedMigrations, AreTheFilesOfSchemasByteForByte) {
  std::set<std::string> files;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(SCHEMAS_DIRECTORY) + "/postgres")) {
    if (entry.path().extension() == ".sql") files.insert(entry.path().filename());
  }
  int last = 0;
  for (const Migration& migration : embedded_migrations()) {
    EXPECT_GT(migration.number, last) << "ascending";
    last = migration.number;
    EXPECT_EQ(std::stoi(std::string(migration.name.substr(0, 4))), migration.number);
    EXPECT_EQ(files.erase(std::string(migration.name)), 1U) << migration.name;
    std::ifstream file(std::string(SCHEMAS_DIRECTORY) + "/postgres/" + std::string(migration.name));
    std::ostringstream text;
    text << file.rdbuf();
    EXPECT_EQ(migration.sql, text.str()) << migration.name;
    EXPECT_EQ(migration.sha256.size(), 64U);
  }
  EXPECT_TRUE(files.empty()) << *files.begin() << " has no number or is not embedded";
}

}  // namespace
}  // namespace tally::admin
