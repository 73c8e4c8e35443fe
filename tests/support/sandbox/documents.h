// Stripe's objects of billing as JSON, by kind and id, in the order in which they were made. What
// the sandbox notes of one stands under its member "sandbox", which no client sees. One thread at a
// time.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace tally::sandbox {

class Documents {
 public:
  using Json = nlohmann::json;
  using Kind = std::map<std::string, Json, std::less<>>;

  // Of that "object" ("invoice"); nullptr when there is none.
  [[nodiscard]] const Json* find(std::string_view object, std::string_view id) const;
  // By id, which is the order of their making.
  [[nodiscard]] const Kind& all(std::string_view object) const;
  // "in_test_00000001": of no document so far.
  [[nodiscard]] std::string next_id(std::string_view object, std::string_view prefix) const;
  // Adds or replaces; it is among the changes.
  void put(Json document);
  // What was put since the last call, in order: an array.
  [[nodiscard]] Json take_changes();
  // One of those that take_changes() gave once; no change of now. Throws nlohmann::json::exception
  // when it is none.
  void restore(Json document) { keep(std::move(document)); }

  // The next that has something to be done by the clock ("sandbox": {"due": T}).
  struct Due {
    std::int64_t at = 0;
    std::string object;
    std::string id;
    auto operator<=>(const Due&) const = default;
  };
  [[nodiscard]] std::optional<Due> due() const;

 private:
  void keep(Json document);

  std::map<std::string, Kind, std::less<>> kinds_;
  std::set<Due> due_;
  Json changes_ = Json::array();
};

}  // namespace tally::sandbox
