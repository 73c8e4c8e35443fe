// Reads JSON text (RFC 8259) from left to right, strictly and without ever turning a number into a
// double: numbers stay text, for Decimal::parse. What core itself reads goes through here; the hot
// path of the aggregator has a reader of its own.
//
// Each step returns false at the first thing that is not JSON; problem() then says what and
// offset() where, and the cursor is of no further use. The text must outlive the cursor and what it
// returned. One thread at a time.
#pragma once

#include "core/limits.h"

#include <cstddef>
#include <forward_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tally::core {

[[nodiscard]] bool valid_utf8(std::string_view text);

// The text between quotes of a JSON string, with the quotes.
void append_json_string(std::string_view text, std::string& out);

class JsonCursor {
 public:
  // `names`: room for members' names, so that who reads many texts allocates it once; names() gives
  // it back. Each object holds as many as it has members.
  explicit JsonCursor(std::string_view text, int max_depth = kMaxJsonDepth,
                      std::vector<std::string_view> names = {})
      : text_(text), max_depth_(max_depth), names_(std::move(names)) {
    names_.clear();
  }
  [[nodiscard]] std::vector<std::string_view> names() && { return std::move(names_); }

  // Passes over white space; the character that starts what comes next, '\0' at the end.
  [[nodiscard]] char peek();
  // Passes over white space and, where it comes next, over `c`: whether it did.
  [[nodiscard]] bool consume(char c);
  [[nodiscard]] bool at_end() { return peek() == '\0' && at_ == text_.size(); }

  // A string, its escapes resolved into `out` (which is emptied first).
  [[nodiscard]] bool read_string(std::string& out);
  // The same without a copy where it holds no escape: `text` is what stands between the quotes, or
  // `room`.
  [[nodiscard]] bool read_text(std::string_view& text, std::string& room);
  // A number's text, exactly as it stands.
  [[nodiscard]] bool read_number(std::string_view& raw);
  // true, false or null: the word.
  [[nodiscard]] bool read_word(std::string_view& raw);
  // Any value, checked to its last character: also that no object in it names a member twice and
  // that nothing is nested deeper than max_depth. `raw` is its text.
  [[nodiscard]] bool read_value(std::string_view& raw);

  // Steps through an object or array: `if (open('{')) while (more('}')) …`. more() is false after
  // the last member and also on an error: ask failed(). Within an object each round starts with
  // read_name().
  [[nodiscard]] bool open(char bracket);
  [[nodiscard]] bool more(char bracket);
  [[nodiscard]] bool read_name(std::string& out);
  [[nodiscard]] bool read_name(std::string_view& name, std::string& room);  // as read_text()

  [[nodiscard]] bool failed() const { return !problem_.empty(); }
  [[nodiscard]] std::string_view problem() const { return problem_; }
  [[nodiscard]] std::size_t offset() const { return at_; }
  // What has been read since then.
  [[nodiscard]] std::string_view since(std::size_t offset) const {
    return text_.substr(offset, at_ - offset);
  }
  bool fail(std::string_view problem);  // always false

 private:
  bool skip_string(std::string_view& raw);
  bool skip_nested(char closing);
  bool skip_any();
  bool append_escape(std::string& out);
  bool read_hex4(unsigned& code);
  bool names_differ(std::size_t first);

  std::string_view text_;
  std::size_t at_ = 0;
  int max_depth_ = 0;
  int depth_ = 0;
  bool fresh_ = false;  // the bracket was the last thing read: no comma is due
  std::string_view problem_;
  // Member names of the objects that are open in read_value(), innermost last.
  std::vector<std::string_view> names_;
  std::forward_list<std::string> resolved_names_;  // those that hold escapes
};

}  // namespace tally::core
