// Texts out of Stripe's JSON, for the sources of this folder.
#pragma once

#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

namespace tally::runtime::stripe {

// "" where there is no such text, also when an object on the way is absent.
[[nodiscard]] inline std::string text_at(const nlohmann::json& object,
                                         std::initializer_list<const char*> path) {
  const nlohmann::json* at = &object;
  for (const char* member : path) {
    if (!at->is_object()) return {};
    const auto found = at->find(member);
    if (found == at->end()) return {};
    at = &*found;
  }
  return at->is_string() ? at->get<std::string>() : std::string();
}

}  // namespace tally::runtime::stripe
