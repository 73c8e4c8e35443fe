#include "tests/support/generator/dirt.h"

#include <string_view>

namespace tally::generator {
namespace {

constexpr std::size_t kOverLongIdBytes = 300;
constexpr std::size_t kOverLongDataBytes = 70'000;

std::string text_of(const Event& event) {
  std::string out;
  append_event(event, out);
  return out;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t place = text.find(from);
  if (place != std::string::npos) text.replace(place, from.size(), to);
  return text;
}

std::string with_tokens(Event& event, std::string_view value) {
  event.data = R"({"tokens":)";
  event.data += value;
  event.data += R"(,"model":"small","api_key":"key_1","status":"ok"})";
  return text_of(event);
}

std::string bad_value(Event& event, std::size_t shape) {
  switch (shape) {
    case 0:
      return with_tokens(event, "NaN");
    case 1:
      return with_tokens(event, "1e999999999");
    case 2:
      return with_tokens(event, "-5");
    case 3:
      return with_tokens(event, R"("12")");
    case 4:
      return with_tokens(event, "0.0000000000001");  // a thirteenth decimal
    case 5:
      return with_tokens(event, "1000000000000000001");
    default:
      event.data = R"({"model":"small","api_key":"key_1","status":"ok"})";
      return text_of(event);
  }
}

std::string bad_envelope(Event& event, std::size_t shape) {
  const std::string good = text_of(event);
  switch (shape) {
    case 0:
      return good.substr(0, good.size() / 2);
    case 1:
      return replaced(good, R"("id":")" + event.id + R"(",)", "");
    case 2:
      return replaced(good, R"("time":"2)", R"("time":"yesterday 2)");
    case 3:
      return replaced(good, R"("subject":")" + event.subject + '"', R"("subject":17)");
    case 4:
      return replaced(good, event.data, R"("tokens 12")");
    case 5:
      return replaced(good, event.subject, "tenant_\xff\xfe");
    case 6:
      return replaced(good, R"("type":)", R"("subject":"tenant_0001","type":)");
    case 7:
      event.id.append(kOverLongIdBytes - event.id.size(), 'x');
      return text_of(event);
    case 8:
      event.data.insert(1, R"("note":")" + std::string(kOverLongDataBytes, 'x') + R"(",)");
      return text_of(event);
    default:
      return replaced(good, R"("time":"2)", R"("time":"9)");  // far ahead of the log
  }
}

}  // namespace

std::string dirty_text(Event& event, std::size_t number) {
  constexpr std::size_t kBadValues = 7;
  const std::size_t shape = number % kDirtShapes;
  return shape < kBadValues ? bad_value(event, shape) : bad_envelope(event, shape - kBadValues);
}

}  // namespace tally::generator
