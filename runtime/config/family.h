// A family of settings whose names are somebody else's: librdkafka's, say. Plain data.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::runtime::config {

using FamilyValues = std::map<std::string, std::string>;

// What is wrong with a family's values: the name of the one, or "" when it is how they go together.
// The sentence must not hold a secret.
struct Objection {
  std::string name;
  std::string sentence;
};

// With the prefix "kafka": --kafka.NAME=VALUE, TALLY_KAFKA_NAME (an underscore for each dot), and
// lines `kafka.NAME = VALUE` in the file of settings, in this precedence; underscores in a NAME
// count as dots. Secrets as Option::secret: from TALLY_KAFKA_NAME, or from a file of their own by
// --kafka.NAME-file (TALLY_KAFKA_NAME_FILE, `kafka.NAME-file = PATH`).
struct Family {
  std::string_view prefix;
  std::string_view sentence;
  bool (*is_secret)(std::string_view name);
  // Sees all of them at start; nullopt: nothing is wrong.
  std::optional<Objection> (*judge)(const FamilyValues& values);
  // For the docs: names that are refused, and why.
  std::vector<std::pair<std::string, std::string>> (*refused)();
};

}  // namespace tally::runtime::config
