#include "exporter/identifier.h"

#include "core/check.h"

#include <algorithm>
#include <string_view>

namespace tally::exporter {
namespace {

constexpr std::size_t kMaxReadableBytes = 28;

bool is_readable(std::string_view name) {
  return !name.empty() && name.size() <= kMaxReadableBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '_' || c == '-';
         });
}

std::string hash_of(const core::IdentityHasher& hasher, const Series& series, const NewRow& row) {
  // Length-prefixed, so that no two different rows write the same text.
  std::string text;
  for (const std::string& part : {series.event_name, row.value.to_string()}) {
    text += fmt::format("{}:{};", part.size(), part);
  }
  text += fmt::format("{};{};{};{}", row.period.start.micros(), row.period.end.micros(),
                      row.event_time.micros(), row.revision);
  const core::DedupEntry entry =
      hasher.entry(series.tenant, series.stripe_customer, series.meter, text, 0, 0);
  return fmt::format("{:016x}{:012x}", entry.hi, entry.lo >> core::DedupEntry::kCheckBits);
}

}  // namespace

std::string make_identifier(const core::IdentityHasher& hasher, const Series& series,
                            const NewRow& row) {
  std::string identifier = "tally";
  for (const std::string& name : {series.tenant, series.meter}) {
    if (is_readable(name)) identifier += "." + name;
  }
  std::string day = core::to_rfc3339(row.period.start).substr(0, 10);
  std::erase(day, '-');
  identifier += fmt::format(".{}.{}", day, row.revision);
  const std::string hash = hash_of(hasher, series, row);
  if (identifier.size() + 1 + hash.size() > kMaxIdentifierBytes) identifier = "tally";
  identifier += "." + hash;
  TALLY_CHECK(identifier.size() <= kMaxIdentifierBytes, "{}", identifier);
  return identifier;
}

std::string make_idempotency_key(const std::string& identifier, int key_number) {
  TALLY_CHECK(key_number >= 1, "key {}", key_number);
  return key_number == 1 ? identifier : fmt::format("{}/{}", identifier, key_number);
}

}  // namespace tally::exporter
