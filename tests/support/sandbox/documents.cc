#include "tests/support/sandbox/documents.h"

#include <fmt/format.h>

namespace tally::sandbox {
namespace {

using nlohmann::json;

std::optional<Documents::Due> due_of(const json& document) {
  const auto notes = document.find("sandbox");
  if (notes == document.end() || !notes->contains("due")) return std::nullopt;
  return Documents::Due{notes->at("due"), document.at("object"), document.at("id")};
}

}  // namespace

const json* Documents::find(std::string_view object, std::string_view id) const {
  const Kind& kind = all(object);
  const auto found = kind.find(id);
  return found == kind.end() ? nullptr : &found->second;
}

const Documents::Kind& Documents::all(std::string_view object) const {
  static const Kind none{};
  const auto found = kinds_.find(object);
  return found == kinds_.end() ? none : found->second;
}

std::string Documents::next_id(std::string_view object, std::string_view prefix) const {
  return fmt::format("{}_test_{:08}", prefix, all(object).size() + 1);
}

void Documents::keep(json document) {
  const std::string id = document.at("id");
  json& place = kinds_[document.at("object").get<std::string>()][id];
  if (!place.is_null()) {
    if (const auto old = due_of(place)) due_.erase(*old);
  }
  place = std::move(document);
  if (const auto due = due_of(place)) due_.insert(*due);
}

void Documents::put(json document) {
  changes_.push_back(document);
  keep(std::move(document));
}

json Documents::take_changes() { return std::exchange(changes_, json::array()); }

std::optional<Documents::Due> Documents::due() const {
  if (due_.empty()) return std::nullopt;
  return *due_.begin();
}

}  // namespace tally::sandbox
