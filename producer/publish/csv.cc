#include "producer/publish/csv.h"

#include <algorithm>

namespace tally::producer::publish {
namespace {

constexpr std::string_view kMark = "\xef\xbb\xbf";

// Reads the field in quotes that begins at `at`, which is then behind its closing quote. False: it
// has none.
bool read_quoted(std::string_view row, std::size_t& at, CsvRow& out) {
  const std::size_t first = at + 1;
  std::size_t from = first;
  const std::size_t room = out.room.size();
  for (;;) {
    const std::size_t quote = row.find('"', from);
    if (quote == std::string_view::npos) return false;
    if (quote + 1 < row.size() && row[quote + 1] == '"') {
      out.room.append(row, from, quote + 1 - from);
      from = quote + 2;
      continue;
    }
    at = quote + 1;
    if (from == first) {
      out.fields.push_back(row.substr(first, quote - first));
    } else {
      out.room.append(row, from, quote - from);
      out.fields.push_back(std::string_view(out.room).substr(room));
    }
    return true;
  }
}

}  // namespace

CsvEdge::State CsvEdge::after_plain(char c) const {
  if (c == delimiter_) return State::kFieldStart;
  return State::kPlain;
}

// Of a byte that ends no row and breaks nothing.
CsvEdge::State CsvEdge::after(char c) const {
  switch (state_) {
    case State::kFileStart:
      if (c == kMark[0]) return State::kMark1;
      [[fallthrough]];
    case State::kFieldStart:
      return c == '"' ? State::kQuoted : after_plain(c);
    case State::kMark1:
      return c == kMark[1] ? State::kMark2 : after_plain(c);
    case State::kMark2:
      return c == kMark[2] ? State::kFieldStart : after_plain(c);
    case State::kPlain:
      return after_plain(c);
    case State::kQuoted:
      return c == '"' ? State::kAfterQuote : State::kQuoted;
    case State::kAfterQuote:
    case State::kAfterReturn:
      break;
  }
  if (c == '"') return State::kQuoted;
  return c == '\r' ? State::kAfterReturn : State::kFieldStart;
}

CsvEdge::Found CsvEdge::look(std::string_view bytes, std::size_t& seen) {
  for (seen = 0; seen < bytes.size();) {
    const char c = bytes[seen];
    if (state_ == State::kAfterReturn && c != '\n') return Found::kBroken;
    if (state_ == State::kAfterQuote && c != '"' && c != '\r' && c != '\n' && c != delimiter_) {
      return Found::kBroken;
    }
    ++seen;
    if (c == '\n' && state_ != State::kQuoted) {
      state_ = State::kFieldStart;
      return Found::kRowEnd;
    }
    state_ = after(c);
  }
  return Found::kMore;
}

std::optional<std::size_t> split_csv(std::string_view row, char delimiter, CsvRow& out) {
  out.fields.clear();
  out.room.clear();
  out.room.reserve(row.size());  // so that no view into it moves
  for (std::size_t at = 0;;) {
    const std::size_t number = out.fields.size();
    if (at < row.size() && row[at] == '"') {
      if (!read_quoted(row, at, out)) return number;
      if (at < row.size() && row[at] != delimiter) return number;
    } else {
      const std::size_t end = std::min(row.find(delimiter, at), row.size());
      out.fields.push_back(row.substr(at, end - at));
      if (out.fields.back().find('"') != std::string_view::npos) return number;
      at = end;
    }
    if (at == row.size()) return std::nullopt;
    ++at;
  }
}

std::string_view without_mark(std::string_view row) {
  if (row.starts_with(kMark)) row.remove_prefix(kMark.size());
  return row;
}

}  // namespace tally::producer::publish
