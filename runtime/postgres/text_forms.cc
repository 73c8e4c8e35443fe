#include "runtime/postgres/connection.h"

#include <array>
#include <charconv>
#include <utility>

namespace tally::runtime::postgres {

std::string bytes_text(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text(2 + (2 * bytes.size()), '\\');
  text[1] = 'x';
  std::size_t at = 2;
  for (const char signed_byte : bytes) {
    const auto byte = static_cast<unsigned char>(signed_byte);
    text[at++] = kDigits[byte >> 4U];
    text[at++] = kDigits[byte & 15U];
  }
  return text;
}

void ArrayText::separate() { text_ += text_.empty() ? '{' : ','; }

void ArrayText::add(std::string_view value) {
  const std::size_t begin = text_.size();
  text_.resize(begin + 3 + (2 * value.size()));  // were each byte escaped
  char* to = text_.data() + begin;
  *to++ = begin == 0 ? '{' : ',';
  *to++ = '"';
  for (const char byte : value) {
    *to = '\\';
    to += byte == '"' || byte == '\\' ? 1 : 0;
    *to++ = byte;
  }
  *to++ = '"';
  text_.resize(static_cast<std::size_t>(to - text_.data()));
}

void ArrayText::add(std::int64_t value) {
  std::array<char, 21> text{};  // the separator and -2^63
  text[0] = text_.empty() ? '{' : ',';
  const char* const end = std::to_chars(text.data() + 1, text.data() + text.size(), value).ptr;
  text_.append(text.data(), static_cast<std::size_t>(end - text.data()));
}

void ArrayText::add_null() {
  separate();
  text_ += "NULL";
}

std::string ArrayText::take() {
  if (text_.empty()) text_ = "{";
  text_ += '}';
  return std::exchange(text_, {});
}

}  // namespace tally::runtime::postgres
