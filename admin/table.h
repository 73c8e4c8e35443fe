// Text tables for terminals.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace tally::admin {

enum class Align { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kLeft;
};

// Columns as wide as their widest cell in characters (UTF-8), two blanks apart, titles above a
// rule. Control characters in cells are shown as \xNN: what a client sent must not steer a
// terminal. Every row has as many cells as there are columns.
void print_table(std::ostream& out, const std::vector<Column>& columns,
                 const std::vector<std::vector<std::string>>& rows);

// The text as a JSON string with its quotes. Bytes that are no UTF-8 must not come in here.
[[nodiscard]] std::string json_string(std::string_view text);

}  // namespace tally::admin
