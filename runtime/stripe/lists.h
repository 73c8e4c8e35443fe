// Stripe's objects and whole lists: meters, what subscriptions bill by them, the account. Kept are
// the few fields that tally looks at. One thread at a time.
#pragma once

#include "core/stripe_meter.h"
#include "runtime/stripe/client.h"

#include <optional>
#include <string>
#include <vector>

namespace tally::runtime::stripe {

inline constexpr std::size_t kPageEntries = 100;  // Stripe's most
inline constexpr std::size_t kMostMeterPages = 20;
inline constexpr std::size_t kMostSubscriptionPages = 1'000;

// All of it, or a problem and the status of the answer behind it (0: there was none).
template <class Entry>
struct Listing {
  std::vector<Entry> entries;
  std::string problem;  // "": whole
  int status = 0;
  [[nodiscard]] bool is_whole() const { return problem.empty(); }
};

// One page of GET /v1/billing/meters. nullopt: not such a page. A meter without an event name is
// kept as it is: it is nobody's.
struct MeterPage {
  std::vector<core::StripeMeter> meters;
  std::string more_after;  // the last id while more follow, else ""
};
[[nodiscard]] std::optional<MeterPage> meter_page_of(const std::string& body);
// nullopt: nothing with an id.
[[nodiscard]] std::optional<core::StripeMeter> meter_of(const std::string& body);

// Of GET /v1/account. nullopt: not an account.
struct AccountName {
  std::string id;
  std::string country;  // "DE"
};
[[nodiscard]] std::optional<AccountName> account_of(const std::string& body);

// Active or not.
[[nodiscard]] Listing<core::StripeMeter> list_meters(Api& api);
// Of all subscriptions that can still be billed: neither canceled nor expired.
[[nodiscard]] Listing<core::MeteredItem> list_metered_items(Api& api);

}  // namespace tally::runtime::stripe
