// producer/publish: rows and fields of CSV against a reader that looks at one character after the
// other, whatever the pieces in which the bytes come.
#include "producer/publish/csv.h"

#include "core/check.h"
#include "tests/fuzz/target.h"

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

namespace tally::fuzz {
namespace {

using producer::publish::CsvEdge;
using Row = std::vector<std::string>;

// Rows up to the first quote that is out of place around a quoted field; `end` is behind the last
// whole one. A row with a quote within an unquoted field is nullopt.
std::vector<std::optional<Row>> expected(const std::string& text, char delimiter,
                                         std::size_t& end) {
  std::vector<std::optional<Row>> rows;
  end = 0;
  std::size_t at = text.starts_with("\xef\xbb\xbf") ? 3 : 0;
  Row row;
  bool odd = false;
  while (at < text.size()) {
    std::string field;
    if (text[at] == '"') {
      for (++at; at < text.size(); ++at) {
        if (text[at] == '"' && (at + 1 == text.size() || text[at + 1] != '"')) break;
        if (text[at] == '"') ++at;
        field += text[at];
      }
      if (at == text.size()) return rows;
      ++at;
      if (at + 1 < text.size() && text[at] == '\r' && text[at + 1] == '\n') ++at;
      if (at == text.size()) return rows;
      if (text[at] != delimiter && text[at] != '\n') return rows;
    } else {
      for (; at < text.size() && text[at] != delimiter && text[at] != '\n'; ++at) {
        field += text[at];
      }
      if (at == text.size()) return rows;
      if (text[at] == '\n' && field.ends_with('\r')) field.pop_back();
      odd = odd || field.find('"') != std::string::npos;
    }
    row.push_back(field);
    if (text[at++] != '\n') continue;
    rows.push_back(odd ? std::nullopt : std::optional(row));
    row.clear();
    odd = false;
    end = at;
  }
  return rows;
}

std::optional<Row> split(std::string_view row, char delimiter) {
  producer::publish::CsvRow fields;
  if (producer::publish::split_csv(row, delimiter, fields)) return std::nullopt;
  return Row(fields.fields.begin(), fields.fields.end());
}

}  // namespace

void one_input(std::string_view input) {
  if (input.size() < 2) return;
  const char delimiter = (input[0] & 1) != 0 ? ',' : '\t';
  const std::size_t piece = 1 + static_cast<unsigned char>(input[1]) % 7;
  const std::string text(input.substr(2));
  std::size_t wanted_end = 0;
  const auto wanted = expected(text, delimiter, wanted_end);

  CsvEdge edge(delimiter);
  std::size_t begin = 0;
  std::size_t number = 0;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t seen = 0;
    const auto found = edge.look(std::string_view(text).substr(at, piece), seen);
    if (found == CsvEdge::Found::kBroken) break;
    at += seen;
    if (found == CsvEdge::Found::kMore) continue;
    std::string_view row = std::string_view(text).substr(begin, at - 1 - begin);
    if (begin == 0) row = producer::publish::without_mark(row);
    if (row.ends_with('\r')) row.remove_suffix(1);
    TALLY_CHECK(number < wanted.size(), "a row too many: `{}`", row);
    TALLY_CHECK(split(row, delimiter) == wanted[number], "row {} is not what it is", number);
    ++number;
    begin = at;
  }
  TALLY_CHECK(number == wanted.size() && begin == wanted_end, "{} rows up to {}, not {} up to {}",
              number, begin, wanted.size(), wanted_end);
}

}  // namespace tally::fuzz
