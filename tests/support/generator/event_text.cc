#include "tests/support/generator/event_text.h"

#include "tests/support/generator/calendar.h"

namespace tally::generator {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";

void append_hex(std::uint64_t number, int from_digit, int digits, std::string& out) {
  for (int i = from_digit; i < from_digit + digits; ++i) {
    out += kHex[(number >> static_cast<unsigned>(60 - 4 * i)) & 0xfU];
  }
}

}  // namespace

void append_event(const Event& event, std::string& out) {
  out += R"({"specversion":"1.0","id":")";
  out += event.id;
  out += R"(","source":")";
  out += event.source;
  out += R"(","type":")";
  out += event.type;
  out += R"(","subject":")";
  out += event.subject;
  out += R"(","time":")";
  append_utc(event.time_micros, out);
  out += R"(","datacontenttype":"application/json","data":)";
  out += event.data;
  out += '}';
}

void append_id(std::uint64_t high, std::uint64_t low, std::string& out) {
  append_hex(high, 0, 8, out);
  out += '-';
  append_hex(high, 8, 4, out);
  out += '-';
  append_hex(high, 12, 4, out);
  out += '-';
  append_hex(low, 0, 4, out);
  out += '-';
  append_hex(low, 4, 12, out);
}

}  // namespace tally::generator
