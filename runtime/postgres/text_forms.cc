#include "runtime/postgres/connection.h"

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
  separate();
  text_ += '"';
  std::size_t begin = 0;  // of what has not been appended yet
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i] != '"' && value[i] != '\\') continue;
    text_.append(value, begin, i - begin) += '\\';
    begin = i;
  }
  text_.append(value, begin);
  text_ += '"';
}

void ArrayText::add(std::int64_t value) {
  separate();
  text_ += std::to_string(value);
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
