// The tokens of one JSON text, and steps over them from the first to the last.
//
// simdjson's first stage finds where every token starts, and that the text is UTF-8 without a
// control character in a string; this class walks over what it found. What is read is checked.
// What is passed over is held only to simdjson's first stage and to its brackets' number, so that
// a member nobody reads costs nothing: the same promise as simdjson's On-Demand gives.
//
// Threads: one JsonIndex per thread. Lifetime: the text must live as long as what was read of it;
// an unescaped string lives until the next build().
#pragma once

#include "aggregator/name_head.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace simdjson::internal {
class dom_parser_implementation;
}

namespace tally::aggregator {

// The numbers are simdjson's.
enum class JsonFault : int {
  kNone = 0,
  kStructure = 3,
  kString = 5,
  kUtf8 = 10,
  kType = 16,
  kIncomplete = 27,
};
[[nodiscard]] const char* to_string(JsonFault fault);  // for people

class JsonIndex {
 public:
  using Place = const std::uint32_t*;

  JsonIndex();
  ~JsonIndex();
  JsonIndex(const JsonIndex&) = delete;
  JsonIndex& operator=(const JsonIndex&) = delete;

  // Reads no byte outside of `text`. The cursor is at the first token.
  [[nodiscard]] JsonFault build(std::string_view text);

  // The token under the cursor: its first character. Behind the last one stands the first again,
  // which is nowhere right, as no object holds a bracket where it wants a name, `:`, `,` or `}`.
  [[nodiscard]] char token() const { return text_[*at_]; }
  [[nodiscard]] bool at_end() const { return at_ == end_; }
  [[nodiscard]] Place place() const { return at_; }
  void go_to(Place place) { at_ = place; }
  // Its bytes up to the next token, without the white space between.
  [[nodiscard]] std::string_view raw() const {
    return without_space({text_ + at_[0], at_[1] - at_[0]});
  }
  [[nodiscard]] bool is_atom(std::string_view atom) const;  // `null`, `true` or `false`, alone
  // Past a token that is a whole value.
  void step() { ++at_; }
  // Past the string under the cursor: its text, unescaped. Each only once: room is kept for as many
  // bytes as the text has, and a walk that needs more has lost its way (kStructure).
  [[nodiscard]] JsonFault take_string(std::string_view& text);
  // Past the object under the cursor: its bytes, without the white space behind it.
  [[nodiscard]] JsonFault take_raw_object(std::string_view& raw);

  // kType where the text is no object. The cursor must be at the first token, and stays.
  [[nodiscard]] JsonFault root_object() const;
  void enter_object() { ++at_; }
  // Past the object under the cursor, as a walk goes that reads none of its members.
  [[nodiscard]] JsonFault pass_object();
  // Passes over what is left of an object of which the brace alone was read.
  [[nodiscard]] JsonFault leave_object();

  // From behind an object's opening brace to behind its closing one. `visit(name, head)` is called
  // with the cursor at the member's value; it leaves it there (nobody reads the value) or goes
  // behind the value, and says whether to go on. A fault ends the walk as visit()'s false does:
  // false is the answer, and `fault` tells the two apart.
  template <class Visit>
  [[nodiscard]] bool each_member(JsonFault& fault, Visit&& visit);

 private:
  [[nodiscard]] char take() { return text_[*at_++]; }
  // Past the value under the cursor and `depth` - 1 brackets around it.
  [[nodiscard]] JsonFault skip(int depth);
  [[nodiscard]] JsonFault string_at(Place quote, std::string_view& text);
  [[nodiscard]] JsonFault unescape(std::string_view& text);
  static std::string_view without_space(std::string_view text);
  [[nodiscard]] JsonFault reserve(std::size_t bytes);

  std::unique_ptr<simdjson::internal::dom_parser_implementation> stage_;
  std::size_t capacity_ = 0;
  const char* text_ = nullptr;
  std::size_t size_ = 0;
  const char* first_escape_ = nullptr;  // no string that ends before it has an escape
  Place at_ = nullptr;
  Place end_ = nullptr;
  std::vector<char> escaped_;    // one string with the bytes behind it that simdjson reads
  std::vector<char> unescaped_;  // all of this text, one behind the other
  std::size_t unescaped_size_ = 0;
};

// Between a string and the next token there is nothing but white space.
inline JsonFault JsonIndex::string_at(Place quote, std::string_view& text) {
  const char* const begin = text_ + quote[0] + 1;
  const char* end = text_ + quote[1] - 1;
  while (end > begin && *end != '"') --end;
  text = std::string_view(begin, static_cast<std::size_t>(end - begin));
  return end <= first_escape_ ? JsonFault::kNone : unescape(text);
}

inline std::string_view JsonIndex::without_space(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; };
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

inline JsonFault JsonIndex::take_string(std::string_view& text) { return string_at(at_++, text); }

template <class Visit>
bool JsonIndex::each_member(JsonFault& fault, Visit&& visit) {
  const auto fail = [&](JsonFault found) {
    fault = found;
    return false;
  };
  if (token() == '}') {
    step();
    return true;
  }
  while (true) {
    if (token() != '"' || text_[at_[1]] != ':') return fail(JsonFault::kStructure);
    std::string_view name;
    if (const auto found = string_at(at_, name); found != JsonFault::kNone) return fail(found);
    const bool readable = name.data() == text_ + at_[0] + 1 && size_ - at_[0] > kNameHeadBytes;
    const NameHead head = readable ? head_of_readable(name) : head_of(name);
    at_ += 2;
    const Place value = at_;
    if (!visit(name, head)) return false;
    if (at_ == value) {
      if (const auto found = skip(1); found != JsonFault::kNone) return fail(found);
    }
    const char next = take();
    if (next == '}') return true;
    if (next != ',') return fail(JsonFault::kStructure);
  }
}

}  // namespace tally::aggregator
