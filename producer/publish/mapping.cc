#include "producer/publish/mapping.h"

#include "core/json_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <optional>
#include <utility>

namespace tally::producer::publish {
namespace {

using core::JsonValue;
using Kind = core::JsonValue::Kind;

core::Error bad(std::string_view where, std::string_view what) {
  return core::invalid(fmt::format("\"{}\" {}", where, what));
}

// nullopt: the object has no other members.
std::optional<core::Error> unknown_member(const JsonValue& object, std::string_view where,
                                          std::initializer_list<std::string_view> known) {
  for (const std::string& name : object.names) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    return bad(where, fmt::format("has a member \"{}\": known are {}", name,
                                  fmt::join(known.begin(), known.end(), ", ")));
  }
  return std::nullopt;
}

// A member's text; "" where there is none, or it is no text.
std::string text_of(const JsonValue& object, std::string_view name) {
  const JsonValue* member = object.find(name);
  return member != nullptr && member->kind == Kind::kString ? member->text : "";
}

core::Result<TextFrom> text_from(const JsonValue& root, std::string_view name,
                                 std::initializer_list<std::string_view> known) {
  const JsonValue* given = root.find(name);
  if (given == nullptr) {
    return bad(name, "is missing: name a column, or say {\"constant\": \"…\"}");
  }
  if (given->kind == Kind::kString && !given->text.empty()) return TextFrom{given->text, ""};
  if (given->kind == Kind::kObject) {
    if (auto error = unknown_member(*given, name, known)) return *error;
    TextFrom from{text_of(*given, "column"), text_of(*given, "constant")};
    if (from.column.empty() != from.constant.empty()) return from;
  }
  return bad(name, "is neither a column's name nor {\"column\": \"…\"} nor {\"constant\": \"…\"}");
}

core::Result<void> read_time(const JsonValue& root, Mapping& out) {
  auto time = text_from(root, "time", {"column", "constant", "format"});
  if (!time) return time.error();
  out.time = std::move(time.value());
  const JsonValue* format =
      root.find("time")->kind == Kind::kObject ? root.find("time")->find("format") : nullptr;
  if (format == nullptr) return boost::outcome_v2::success();
  auto known = TimeFormat::of(format->kind == Kind::kString ? format->text : "");
  if (!known) return core::invalid("\"time\": " + known.error().message);
  out.time_format = known.value();
  return boost::outcome_v2::success();
}

core::Result<std::vector<std::string>> id_columns(const JsonValue& root) {
  constexpr std::string_view kWanted =
      "names the column of the request's id, or several that make one together: {\"columns\": "
      "[\"…\", \"…\"]}. It is what a row is known by when the file is published again";
  const JsonValue* id = root.find("id");
  if (id == nullptr) return bad("id", fmt::format("is missing: it {}", kWanted));
  if (id->kind == Kind::kString && !id->text.empty()) return std::vector{id->text};
  const JsonValue* columns = id->kind == Kind::kObject ? id->find("columns") : nullptr;
  if (columns == nullptr || id->names.size() != 1 || columns->kind != Kind::kArray ||
      columns->children.empty()) {
    return bad("id", kWanted);
  }
  std::vector<std::string> out;
  for (const JsonValue& column : columns->children) {
    if (column.kind != Kind::kString || column.text.empty()) return bad("id", kWanted);
    out.push_back(column.text);
  }
  return out;
}

core::Result<Mapping::Data> data_field(const std::string& path, const JsonValue& given) {
  const std::string where = "data." + path;
  Mapping::Data out;
  out.field.path = path;
  if (given.kind == Kind::kString) {
    out.column = given.text;
  } else if (given.kind == Kind::kObject) {
    if (auto error = unknown_member(given, where, {"column", "as", "optional"})) return *error;
    out.column = text_of(given, "column");
    if (const JsonValue* as = given.find("as")) {
      const auto known = as_of(as->kind == Kind::kString ? as->text : "");
      if (!known) return bad(where, "has an \"as\" that is none of string, number, bool");
      out.field.as = *known;
    }
    if (const JsonValue* optional = given.find("optional")) {
      if (optional->kind != Kind::kBoolean) {
        return bad(where, "has an \"optional\" that is neither true nor false");
      }
      out.field.may_be_empty = optional->text == "true";
    }
  }
  if (out.column.empty()) {
    return bad(where, "is neither a column's name nor {\"column\": \"…\", \"as\": \"number\"}");
  }
  out.field.origin = "column " + out.column;
  return out;
}

core::Result<std::vector<Mapping::Data>> data_fields(const JsonValue& root) {
  std::vector<Mapping::Data> out;
  const JsonValue* data = root.find("data");
  if (data == nullptr) return out;
  if (data->kind != Kind::kObject) return bad("data", "is no object of members and columns");
  DataShape shape;  // whether the names go together
  for (std::size_t i = 0; i < data->names.size(); ++i) {
    auto field = data_field(data->names[i], data->children[i]);
    if (!field) return field.error();
    const auto added = shape.add(field.value().field);
    if (!added) return added.error();
    out.push_back(std::move(field.value()));
  }
  return out;
}

}  // namespace

core::Result<Mapping> parse_mapping(std::string_view json) {
  const auto parsed = core::parse_json(json);
  if (!parsed) return parsed.error();
  const JsonValue& root = parsed.value();
  if (root.kind != Kind::kObject) return core::invalid("it is no JSON object");
  if (auto error = unknown_member(root, "the mapping",
                                  {"$schema", "id", "time", "subject", "type", "source", "data"})) {
    return *error;
  }
  Mapping out;
  auto id = id_columns(root);
  if (!id) return id.error();
  out.id = std::move(id.value());
  const auto time = read_time(root, out);
  if (!time) return time.error();
  for (const auto& [name, into] : std::array<std::pair<std::string_view, TextFrom*>, 3>{
           {{"subject", &out.subject}, {"type", &out.type}, {"source", &out.source}}}) {
    auto from = text_from(root, name, {"column", "constant"});
    if (!from) return from.error();
    *into = std::move(from.value());
  }
  auto data = data_fields(root);
  if (!data) return data.error();
  out.data = std::move(data.value());
  return out;
}

}  // namespace tally::producer::publish
