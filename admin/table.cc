#include "admin/table.h"

#include "core/check.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <string_view>

namespace tally::admin {
namespace {

std::string printable(std::string_view text) {
  std::string out;
  for (const char signed_byte : text) {
    const auto byte = static_cast<unsigned char>(signed_byte);
    if (byte < 0x20 || byte == 0x7f) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += signed_byte;
    }
  }
  return out;
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char byte) {
    return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
  }));
}

void print_row(std::ostream& out, const std::vector<Column>& columns,
               const std::vector<std::size_t>& widths, const std::vector<std::string>& cells) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string padding(widths[i] - width_of(cells[i]), ' ');
    if (i > 0) line += "  ";
    line += columns[i].align == Align::kRight ? padding + cells[i] : cells[i] + padding;
  }
  while (!line.empty() && line.back() == ' ') line.pop_back();
  out << line << '\n';
}

}  // namespace

void print_table(std::ostream& out, const std::vector<Column>& columns,
                 const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::vector<std::string>> cells(1);
  std::vector<std::size_t> widths;
  for (const Column& column : columns) {
    cells.front().push_back(column.title);
    widths.push_back(width_of(column.title));
  }
  for (const std::vector<std::string>& row : rows) {
    TALLY_CHECK(row.size() == columns.size(), "{} cells, {} columns", row.size(), columns.size());
    cells.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) {
      cells.back().push_back(printable(row[i]));
      widths[i] = std::max(widths[i], width_of(cells.back().back()));
    }
  }
  std::vector<std::string> rule;
  rule.reserve(widths.size());
  for (const std::size_t width : widths) rule.emplace_back(width, '-');
  cells.insert(cells.begin() + 1, rule);
  for (const std::vector<std::string>& row : cells) print_row(out, columns, widths, row);
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char signed_byte : text) {
    const auto byte = static_cast<unsigned char>(signed_byte);
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += signed_byte;
    } else if (byte < 0x20) {
      out += fmt::format("\\u{:04x}", byte);
    } else {
      out += signed_byte;
    }
  }
  return out + '"';
}

}  // namespace tally::admin
