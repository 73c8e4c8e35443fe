#include "producer/publish/csv_recipe.h"

#include "core/limits.h"
#include "core/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace tally::producer::publish {
namespace {

constexpr char kIdSeparator = '|';
constexpr std::size_t kMaxShownColumns = 20;
constexpr std::size_t kMaxShownBytes = 64;  // of a column's name

// What the file says its columns are, safe to show.
std::string shown(const std::vector<std::string>& columns) {
  std::string out;
  for (std::size_t i = 0; i < std::min(columns.size(), kMaxShownColumns); ++i) {
    if (i > 0) out += ", ";
    out += core::printable_ascii(columns[i], kMaxShownBytes);
  }
  if (columns.size() > kMaxShownColumns) {
    out += fmt::format(" and {} more", columns.size() - kMaxShownColumns);
  }
  return out;
}

// Different columns never make the same id: ("a|", "b") is not ("a", "|b").
void append_id_part(std::string_view text, std::string& out) {
  for (const char c : text) {
    if (c == kIdSeparator) {
      out += "%7C";
    } else if (c == '%') {
      out += "%25";
    } else {
      out += c;
    }
  }
}

}  // namespace

CsvRecipe::CsvRecipe(Mapping mapping, char delimiter)
    : mapping_(std::move(mapping)), delimiter_(delimiter) {}

core::Result<std::size_t> CsvRecipe::column(const std::string& name) const {
  const auto found = std::find(columns_.begin(), columns_.end(), name);
  if (found == columns_.end()) {
    return core::invalid(
        fmt::format("the header has no column \"{}\", which the mapping names; it "
                    "has {}",
                    name, shown(columns_)));
  }
  if (std::find(found + 1, columns_.end(), name) != columns_.end()) {
    return core::invalid(fmt::format("the header has two columns \"{}\": rename one", name));
  }
  return static_cast<std::size_t>(found - columns_.begin());
}

core::Result<void> CsvRecipe::place(std::string_view name, const TextFrom& from, Attribute& into,
                                    std::string& text) {
  text = from.constant;
  into = {};
  if (from.column.empty()) return boost::outcome_v2::success();
  const auto found = column(from.column);
  if (!found) return found.error();
  into = {found.value(), fmt::format("column {} ({})", from.column, name)};
  return boost::outcome_v2::success();
}

core::Result<void> CsvRecipe::header(std::string_view text) {
  if (split_csv(without_mark(text), delimiter_, row_)) {
    return core::invalid("the header has a quote that is out of place");
  }
  columns_.assign(row_.fields.begin(), row_.fields.end());
  id_.clear();
  for (const std::string& name : mapping_.id) {
    const auto found = column(name);
    if (!found) return found.error();
    id_.push_back(found.value());
  }
  auto placed = place("time", mapping_.time, time_, time_text_);
  if (placed) placed = place("subject", mapping_.subject, subject_, event_.subject);
  if (placed) placed = place("type", mapping_.type, type_, event_.type);
  if (placed) placed = place("source", mapping_.source, source_, event_.source);
  if (!placed) return placed.error();
  data_ = {};
  for (Mapping::Data& data : mapping_.data) {
    const auto found = column(data.column);
    if (!found) return found.error();
    data.field.from = found.value();
    const auto added = data_.add(data.field);
    if (!added) return added.error();
  }
  return boost::outcome_v2::success();
}

core::Result<void> CsvRecipe::take_id() {
  event_.id.clear();
  if (id_.size() == 1) {
    event_.id = row_.fields[id_.front()];
  } else {
    for (std::size_t i = 0; i < id_.size(); ++i) {
      if (i > 0) event_.id += kIdSeparator;
      append_id_part(row_.fields[id_[i]], event_.id);
    }
    // Nothing but separators would be one id for all rows.
    if (event_.id.size() + 1 == id_.size()) event_.id.clear();
  }
  const auto error =
      core::attribute_error(fmt::format("column {} (id)", fmt::join(mapping_.id, " and ")),
                            event_.id, core::kMaxRequestIdBytes);
  if (error) return *error;
  return boost::outcome_v2::success();
}

core::Result<void> CsvRecipe::take(const Attribute& attribute, std::size_t max_bytes,
                                   std::string& into) const {
  if (attribute.origin.empty()) return boost::outcome_v2::success();
  into = row_.fields[attribute.column];
  if (auto error = core::attribute_error(attribute.origin, into, max_bytes)) return *error;
  return boost::outcome_v2::success();
}

core::Result<void> CsvRecipe::take_time() {
  if (!time_.origin.empty()) time_text_ = row_.fields[time_.column];
  const auto time = mapping_.time_format.read(time_text_);
  const std::string_view origin = time_.origin.empty() ? std::string_view("time") : time_.origin;
  if (!time) return core::invalid(fmt::format("{}: {}", origin, time.error().message));
  if (!core::is_event_time(time.value())) {
    return core::invalid(fmt::format("{} {}", origin, core::kNoEventTime));
  }
  event_.time = time.value();
  return boost::outcome_v2::success();
}

core::Result<Made> CsvRecipe::make(const Record& record, Message& out) {
  if (record.text.empty()) return Made::kBlank;
  if (const auto odd = split_csv(record.text, delimiter_, row_)) {
    return core::invalid(fmt::format(
        "column {}: a quote is out of place; put the field in quotes and double those in it",
        *odd < columns_.size() ? core::printable_ascii(columns_[*odd], kMaxShownBytes)
                               : std::to_string(*odd + 1)));
  }
  if (row_.fields.size() != columns_.size()) {
    return core::invalid(fmt::format("the row has {} columns, the header has {}",
                                     row_.fields.size(), columns_.size()));
  }
  auto taken = take_id();
  if (taken) taken = take_time();
  if (taken) taken = take(subject_, core::kMaxTenantIdBytes, event_.subject);
  if (taken) taken = take(type_, core::kMaxEventTypeBytes, event_.type);
  if (taken) taken = take(source_, core::kMaxSourceBytes, event_.source);
  event_.data.clear();
  if (taken) taken = data_.write(row_.fields, event_.data);
  if (taken) taken = core::validate(event_);
  if (!taken) return taken.error();
  value_.clear();
  core::append_structured(event_, value_);
  out = {event_.id, value_};
  return Made::kMessage;
}

}  // namespace tally::producer::publish
