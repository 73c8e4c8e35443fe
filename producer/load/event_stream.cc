#include "producer/load/event_stream.h"

#include "core/json_cursor.h"
#include "core/usage_event.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>
#include <utility>

namespace tally::producer::load {
namespace {

constexpr std::uint64_t kLargestAmount = 1'000;

// A bijection that scatters its input (splitmix64): the same on every machine, which std's
// distributions are not.
std::uint64_t scatter(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31U);
}

// Draws from one number: below(n) takes a fresh draw each time. The remainder's bias is below 2^-40
// for what is drawn here.
class Draws {
 public:
  Draws(std::uint64_t seed, std::uint64_t number) : state_(scatter(seed) ^ number) {}
  std::uint64_t below(std::uint64_t bound) { return (state_ = scatter(state_)) % bound; }

 private:
  std::uint64_t state_;
};

constexpr std::uint64_t kCopySalt = 0x636f7079;  // so that what is copied is a draw of its own

std::string json(std::string_view text) {
  std::string out;
  core::append_json_string(text, out);
  return out;
}

}  // namespace

EventStream::EventStream(StreamOptions options)
    : options_(std::move(options)),
      source_(json(options_.source)),
      tenant_prefix_(json(options_.tenant_prefix)) {
  tenant_prefix_ = tenant_prefix_.substr(1, tenant_prefix_.size() - 2);
  for (const std::string& type : options_.types) types_.push_back(json(type));
}

core::Result<EventStream> EventStream::make(StreamOptions options) {
  EventStream stream(std::move(options));
  for (const std::string& type : stream.types_) {
    std::string text;
    stream.append_text(0, stream.options_.tenants, type, text);
    if (const auto event = core::parse_structured(text); !event) return event.error();
  }
  return stream;
}

std::uint64_t EventStream::copies(std::uint64_t events) const {
  return events / 100 * options_.duplicates_percent +
         events % 100 * options_.duplicates_percent / 100;
}

std::uint64_t EventStream::identity(std::uint64_t number) const {
  const std::uint64_t firsts = number - copies(number);
  const bool is_copy = copies(number + 1) > copies(number);
  return is_copy ? Draws(options_.seed ^ kCopySalt, number).below(firsts) : firsts;
}

void EventStream::write_id(std::uint64_t number, std::string& id) const {
  id.clear();
  fmt::format_to(std::back_inserter(id), "load-{}-{:012}", options_.seed, identity(number));
}

void EventStream::append_text(std::uint64_t identity, std::uint64_t tenant, std::string_view type,
                              std::string& out) const {
  Draws draws(options_.seed, identity);
  const std::uint64_t amount = 1 + draws.below(kLargestAmount);
  fmt::format_to(
      std::back_inserter(out),
      R"({{"specversion":"1.0","id":"load-{}-{:012}","source":{},"type":{},)"
      R"("subject":"{}{:04}","data":{{"requests":1,"units":{},"dimension":"d-{:04}"}}}})",
      options_.seed, identity, source_, type, tenant_prefix_, tenant, amount,
      1 + draws.below(options_.dimensions));
}

void EventStream::append_event(std::uint64_t number, std::string& out) const {
  const std::uint64_t identity = this->identity(number);
  Draws draws(~options_.seed, identity);
  const std::uint64_t tenant = 1 + draws.below(options_.tenants);
  append_text(identity, tenant, types_[draws.below(types_.size())], out);
}

}  // namespace tally::producer::load
