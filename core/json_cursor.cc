#include "core/json_cursor.h"

#include "core/eight_bytes.h"

#include <simdjson.h>

#include <algorithm>

namespace tally::core {
namespace {

constexpr std::size_t kFewNames = 16;

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20; }

void append_utf8(unsigned code, std::string& out) {
  const auto put = [&out](unsigned byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xc0U | code >> 6U);
    put(0x80U | (code & 0x3fU));
  } else if (code < 0x10000) {
    put(0xe0U | code >> 12U);
    put(0x80U | (code >> 6U & 0x3fU));
    put(0x80U | (code & 0x3fU));
  } else {
    put(0xf0U | code >> 18U);
    put(0x80U | (code >> 12U & 0x3fU));
    put(0x80U | (code >> 6U & 0x3fU));
    put(0x80U | (code & 0x3fU));
  }
}

}  // namespace

bool valid_utf8(std::string_view text) { return simdjson::validate_utf8(text); }

void append_json_string(std::string_view text, std::string& out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (is_control(c)) {
      const auto code = static_cast<unsigned char>(c);
      out += "\\u00";
      out += kHex[code >> 4U];
      out += kHex[code & 0xfU];
    } else {
      out += c;
    }
  }
  out += '"';
}

bool JsonCursor::fail(std::string_view problem) {
  if (!failed()) problem_ = problem;
  return false;
}

char JsonCursor::peek() {
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return c;
    ++at_;
  }
  return '\0';
}

bool JsonCursor::consume(char c) {
  if (peek() != c || at_ == text_.size()) return false;
  ++at_;
  return true;
}

bool JsonCursor::open(char bracket) {
  if (!consume(bracket)) return fail(bracket == '{' ? "expected an object" : "expected an array");
  if (++depth_ > max_depth_) return fail("nested deeper than 64");
  fresh_ = true;
  return true;
}

bool JsonCursor::more(char bracket) {
  if (failed()) return false;
  if (consume(bracket)) {
    --depth_;
    fresh_ = false;
    return false;
  }
  if (!fresh_ && !consume(',')) return fail("expected a comma or a closing bracket");
  fresh_ = false;
  return true;
}

bool JsonCursor::read_name(std::string& out) {
  std::string_view name;
  std::string room;
  if (!read_name(name, room)) return false;
  out = name;
  return true;
}

bool JsonCursor::read_name(std::string_view& name, std::string& room) {
  if (!read_text(name, room)) return false;
  return consume(':') || fail("expected a colon after a member's name");
}

bool JsonCursor::read_hex4(unsigned& code) {
  if (text_.size() - at_ < 4) return fail("a \\u escape needs four hex digits");
  code = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = text_[at_];
    const char lower = static_cast<char>(c | 0x20);
    if (is_digit(c)) {
      code = code * 16 + static_cast<unsigned>(c - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      code = code * 16 + static_cast<unsigned>(lower - 'a' + 10);
    } else {
      return fail("a \\u escape needs four hex digits");
    }
    ++at_;
  }
  return true;
}

bool JsonCursor::append_escape(std::string& out) {
  ++at_;
  if (at_ == text_.size()) return fail("a string does not end");
  constexpr std::string_view kEscapes = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  const char c = text_[at_];
  if (const auto known = kEscapes.find(c); known != std::string_view::npos) {
    out += kMeanings[known];
    ++at_;
    return true;
  }
  if (c != 'u') return fail("unknown escape in a string");
  ++at_;
  unsigned code = 0;
  if (!read_hex4(code)) return false;
  if (code >= 0xdc00 && code < 0xe000) return fail("half a surrogate pair in a string");
  if (code >= 0xd800 && code < 0xdc00) {
    if (text_.substr(at_, 2) != "\\u") return fail("half a surrogate pair in a string");
    at_ += 2;
    unsigned low = 0;
    if (!read_hex4(low)) return false;
    if (low < 0xdc00 || low >= 0xe000) return fail("half a surrogate pair in a string");
    code = 0x10000 + ((code - 0xd800) << 10U) + (low - 0xdc00);
  }
  append_utf8(code, out);
  return true;
}

bool JsonCursor::read_string(std::string& out) {
  out.clear();
  if (!consume('"')) return fail("expected a string");
  while (at_ < text_.size()) {
    const std::size_t end = first_byte(text_, at_, escaped_of);
    out.append(text_.substr(at_, end - at_));
    at_ = end;
    if (at_ == text_.size()) break;
    if (text_[at_] == '"') {
      ++at_;
      return true;
    }
    if (text_[at_] != '\\') return fail("a control character in a string must be escaped");
    if (!append_escape(out)) return false;
  }
  return fail("a string does not end");
}

// `raw` is what stands between the quotes.
bool JsonCursor::skip_string(std::string_view& raw) {
  if (!consume('"')) return fail("expected a string");
  const std::size_t first = at_;
  while ((at_ = first_byte(text_, at_, escaped_of)) < text_.size()) {
    const char c = text_[at_];
    if (c == '"') {
      raw = text_.substr(first, at_ - first);
      ++at_;
      return true;
    }
    if (c != '\\') return fail("a control character in a string must be escaped");
    std::string ignored;
    if (!append_escape(ignored)) return false;
  }
  return fail("a string does not end");
}

bool JsonCursor::read_text(std::string_view& text, std::string& room) {
  const std::size_t first = (static_cast<void>(peek()), at_);
  if (!skip_string(text)) return false;
  if (text.find('\\') == std::string_view::npos) return true;
  at_ = first;
  if (!read_string(room)) return false;
  text = room;
  return true;
}

bool JsonCursor::read_number(std::string_view& raw) {
  const char start = peek();
  const std::size_t first = at_;
  const auto digits = [this] {
    const std::size_t before = at_;
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    return at_ - before;
  };
  const auto next_is = [this](char a, char b) {
    return at_ < text_.size() && (text_[at_] == a || text_[at_] == b);
  };
  if (start == '-') ++at_;
  const bool leading_zero = next_is('0', '0');
  const std::size_t whole = digits();
  if (whole == 0) return fail("expected a value");
  if (leading_zero && whole > 1) return fail("a number starts with a needless zero");
  if (next_is('.', '.')) {
    ++at_;
    if (digits() == 0) return fail("a number ends after its point");
  }
  if (next_is('e', 'E')) {
    ++at_;
    if (next_is('+', '-')) ++at_;
    if (digits() == 0) return fail("a number ends within its exponent");
  }
  raw = text_.substr(first, at_ - first);
  return true;
}

bool JsonCursor::read_word(std::string_view& raw) {
  const char start = peek();
  const std::string_view word = start == 't' ? "true" : start == 'f' ? "false" : "null";
  raw = text_.substr(at_, word.size());
  if (raw != word) return fail("expected a value");
  at_ += word.size();
  return true;
}

bool JsonCursor::names_differ(std::size_t first) {
  const auto begin = names_.begin() + static_cast<std::ptrdiff_t>(first);
  bool differ = true;
  if (names_.size() - first <= kFewNames) {
    for (auto it = begin; it != names_.end(); ++it) {
      if (std::find(begin, it, *it) != it) differ = false;
    }
  } else {
    std::sort(begin, names_.end());
    differ = std::adjacent_find(begin, names_.end()) == names_.end();
  }
  names_.resize(first);
  return differ || fail("an object names a member twice");
}

bool JsonCursor::skip_nested(char closing) {
  const std::size_t first_name = names_.size();
  const auto outer_names = resolved_names_.begin();
  while (more(closing)) {
    if (closing == '}') {
      std::string_view name;
      std::string room;
      if (!read_name(name, room)) return false;
      if (name.data() == room.data()) name = resolved_names_.emplace_front(std::move(room));
      names_.push_back(name);
    }
    if (!skip_any()) return false;
  }
  const bool differ = !failed() && names_differ(first_name);
  // Only those of open objects are needed: of all of a text's they may take six times its bytes.
  while (resolved_names_.begin() != outer_names) resolved_names_.pop_front();
  return differ;
}

bool JsonCursor::skip_any() {
  std::string_view ignored;
  switch (peek()) {
    case '{':
      return open('{') && skip_nested('}');
    case '[':
      return open('[') && skip_nested(']');
    case '"':
      return skip_string(ignored);
    case 't':
    case 'f':
    case 'n':
      return read_word(ignored);
    default:
      return read_number(ignored);
  }
}

bool JsonCursor::read_value(std::string_view& raw) {
  static_cast<void>(peek());
  const std::size_t first = at_;
  if (!skip_any()) return false;
  raw = text_.substr(first, at_ - first);
  return true;
}

}  // namespace tally::core
