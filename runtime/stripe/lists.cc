#include "runtime/stripe/lists.h"

#include "runtime/stripe/json_internal.h"

#include <fmt/format.h>

#include <functional>

namespace tally::runtime::stripe {
namespace {

using core::MeteredItem;
using Json = nlohmann::json;

// An object's id, where Stripe shows either the id or the object.
std::string id_at(const Json& object, const char* member) {
  std::string id = text_at(object, {member});
  return id.empty() ? text_at(object, {member, "id"}) : id;
}

bool is_list(const Json& json) {
  return json.is_object() && text_at(json, {"object"}) == "list" && json.contains("data") &&
         json["data"].is_array();
}

// The last id of a list while more follow, else "".
std::string more_after(const Json& list) {
  const auto more = list.find("has_more");
  if (more == list.end() || *more != true || list["data"].empty()) return {};
  return text_at(list["data"].back(), {"id"});
}

std::optional<core::StripeMeter> read_meter(const Json& json) {
  core::StripeMeter meter;
  meter.id = text_at(json, {"id"});
  meter.event_name = text_at(json, {"event_name"});
  if (meter.id.empty()) return std::nullopt;
  meter.formula = text_at(json, {"default_aggregation", "formula"});
  meter.event_time_window = text_at(json, {"event_time_window"});
  meter.customer_type = text_at(json, {"customer_mapping", "type"});
  meter.customer_key = text_at(json, {"customer_mapping", "event_payload_key"});
  meter.value_key = text_at(json, {"value_settings", "event_payload_key"});
  meter.is_active = text_at(json, {"status"}) == "active";
  return meter;
}

// Reads pages until one says that it is the last. `take` gets a page's body and returns the id that
// the next begins after, "" at the end, or nullopt when it is no such page.
using TakePage = std::function<std::optional<std::string>(const std::string& body)>;

template <class Entry>
void read_pages(Api& api, const std::string& target, std::size_t most_pages, const TakePage& take,
                Listing<Entry>& listing) {
  std::string after;
  for (std::size_t page = 0; page < most_pages; ++page) {
    const std::string place =
        after.empty() ? target : target + "&starting_after=" + http::percent_encode(after);
    const Answer answer = api.get(place);
    listing.status = answer.status;
    if (!answer.is_ok()) {
      listing.problem = problem_of(answer);
      return;
    }
    const auto next = take(answer.body);
    if (!next.has_value()) {
      listing.problem = "not a list: " + not_of_stripe(answer.body);
      return;
    }
    if (next->empty()) return;
    after = *next;
  }
  listing.problem = fmt::format("more than {} entries", most_pages * kPageEntries);
}

void take_item(const Json& item, const MeteredItem& of, std::vector<MeteredItem>& items) {
  MeteredItem found = of;
  found.item = text_at(item, {"id"});
  found.stripe_meter = text_at(item, {"price", "recurring", "meter"});
  if (!found.stripe_meter.empty()) items.push_back(std::move(found));
}

// Subscriptions that do not show all their items here go to `longer`, without an item. nullopt: not
// a list of subscriptions.
std::optional<std::string> take_subscriptions(const std::string& body,
                                              std::vector<MeteredItem>& items,
                                              std::vector<MeteredItem>& longer) {
  const Json list = Json::parse(body, nullptr, false);
  if (!is_list(list)) return std::nullopt;
  for (const Json& subscription : list["data"]) {
    MeteredItem of;
    of.customer = id_at(subscription, "customer");
    of.subscription = text_at(subscription, {"id"});
    if (of.subscription.empty() || of.customer.empty()) return std::nullopt;
    const std::string status = text_at(subscription, {"status"});
    if (status == "canceled" || status == "incomplete_expired") continue;
    const auto shown = subscription.find("items");
    if (shown == subscription.end() || !is_list(*shown)) return std::nullopt;
    if (!more_after(*shown).empty()) {
      longer.push_back(of);
      continue;
    }
    for (const Json& item : (*shown)["data"]) take_item(item, of, items);
  }
  return more_after(list);
}

}  // namespace

std::optional<AccountName> account_of(const std::string& body) {
  const Json account = Json::parse(body, nullptr, false);
  if (text_at(account, {"object"}) != "account") return std::nullopt;
  return AccountName{text_at(account, {"id"}), text_at(account, {"country"})};
}

std::optional<core::StripeMeter> meter_of(const std::string& body) {
  return read_meter(Json::parse(body, nullptr, false));
}

std::optional<MeterPage> meter_page_of(const std::string& body) {
  const Json list = Json::parse(body, nullptr, false);
  if (!is_list(list)) return std::nullopt;
  MeterPage page;
  for (const Json& entry : list["data"]) {
    auto meter = read_meter(entry);
    if (!meter.has_value()) return std::nullopt;
    page.meters.push_back(std::move(*meter));
  }
  page.more_after = more_after(list);
  return page;
}

Listing<core::StripeMeter> list_meters(Api& api) {
  Listing<core::StripeMeter> listing;
  const auto take = [&](const std::string& body) -> std::optional<std::string> {
    auto page = meter_page_of(body);
    if (!page.has_value()) return std::nullopt;
    for (core::StripeMeter& meter : page->meters) listing.entries.push_back(std::move(meter));
    return page->more_after;
  };
  read_pages(api, fmt::format("/v1/billing/meters?limit={}", kPageEntries), kMostMeterPages, take,
             listing);
  return listing;
}

Listing<MeteredItem> list_metered_items(Api& api) {
  Listing<MeteredItem> listing;
  std::vector<MeteredItem> longer;
  const auto take = [&](const std::string& body) {
    return take_subscriptions(body, listing.entries, longer);
  };
  read_pages(api, fmt::format("/v1/subscriptions?limit={}", kPageEntries), kMostSubscriptionPages,
             take, listing);
  for (const MeteredItem& of : longer) {
    if (!listing.is_whole()) break;
    const auto take_items = [&](const std::string& body) -> std::optional<std::string> {
      const Json list = Json::parse(body, nullptr, false);
      if (!is_list(list)) return std::nullopt;
      for (const Json& item : list["data"]) take_item(item, of, listing.entries);
      return more_after(list);
    };
    read_pages(api,
               fmt::format("/v1/subscription_items?subscription={}&limit={}",
                           http::percent_encode(of.subscription), kPageEntries),
               kMostMeterPages, take_items, listing);
  }
  return listing;
}

}  // namespace tally::runtime::stripe
