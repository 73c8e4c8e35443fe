// An event as the generator thinks of it, and its structured CloudEvents text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tally::generator {

struct Event {
  std::string id;
  std::string_view source = "/services/gateway";
  std::string_view type;
  std::string subject;
  std::int64_t time_micros = 0;
  std::string data;  // JSON, printed as it stands
};

void append_event(const Event& event, std::string& out);

// 128 bits as 32 hexadecimal digits in the grouping of a UUID.
void append_id(std::uint64_t high, std::uint64_t low, std::string& out);

}  // namespace tally::generator
