#include "exporter/doctor/stripe_checks.h"

#include "core/stripe_meter.h"
#include "runtime/stripe/lists.h"

#include <fmt/format.h>

#include <string>
#include <vector>

namespace tally::exporter::doctor {
namespace {

namespace stripe = runtime::stripe;
using core::MeterFit;
using runtime::http::Fate;

constexpr std::string_view kWhereKeysAre = "Stripe's Dashboard, Developers, API keys";
constexpr std::string_view kReadBack = "without it no row in doubt is read back";

bool is_answered(const stripe::Answer& answer) { return answer.fate == Fate::kAnswered; }

Finding account_of(const std::string& body) {
  const auto account = stripe::account_of(body);
  if (!account.has_value())
    return {Level::kFail, "stripe account", stripe::not_of_stripe(body), "check --stripe-url"};
  return {Level::kOk, "stripe account",
          account->country.empty() ? account->id : account->id + ", " + account->country, ""};
}

Finding check_account(const stripe::Answer& answer) {
  const std::string check = "stripe account";
  if (!is_answered(answer)) {
    return {Level::kFail, check, "Stripe was not reached: " + stripe::problem_of(answer),
            "check --stripe-url, the network and the firewall; without a key start the sandbox"};
  }
  if (answer.is_ok()) return account_of(answer.body);
  const std::string says = stripe::problem_of(answer);
  if (answer.status == 401) {
    return {Level::kFail, check, "the key is refused: " + says,
            fmt::format("take a valid key from {}, of the right mode", kWhereKeysAre)};
  }
  if (!answer.is_stripe_error) return {Level::kFail, check, says, "check --stripe-url"};
  if (answer.status == 403) {
    return {Level::kWarn, check, "the key may not read the account: " + says,
            "nothing has to be done: whose account it is cannot be shown"};
  }
  return {Level::kWarn, check, says, ""};
}

Finding check_date(const stripe::Answer& answer, core::Timestamp before, core::Timestamp after) {
  if (!answer.date.has_value()) {
    return {Level::kWarn, "stripe clock", "the answer has no Date: the clocks cannot be compared",
            ""};
  }
  return check_clock("stripe clock", "Stripe's", {before, *answer.date, after, 1'000'000});
}

// What the key may read; `problem` is "" where it was read. `refused`: how bad it is when it may
// not.
Finding check_reading(std::string_view what, const std::string& problem, int status,
                      std::string_view why, Level refused = Level::kFail) {
  const std::string check = fmt::format("read {}", what);
  if (problem.empty()) return {Level::kOk, check, "the key may", ""};
  if (status == 403) {
    return {refused, check, fmt::format("the key may not: {}", problem),
            fmt::format("give it that permission ({}): {}", kWhereKeysAre, why)};
  }
  return {Level::kFail, check, problem,
          status == 400 || status == 404 ? "check --stripe-url and its version" : "run it again"};
}

Finding check_summaries(stripe::Api& api, const std::string& meter) {
  const stripe::Answer answer =
      api.get(fmt::format("/v1/billing/meters/{}/event_summaries"
                          "?customer=cus_tally_doctor&start_time=0&end_time=60",
                          runtime::http::percent_encode(meter)));
  // Of no such customer, meter or time: the key was let in.
  const bool is_let_in =
      answer.is_stripe_error && (answer.status == 400 || answer.error_code == "resource_missing");
  return check_reading("meter event summaries",
                       answer.is_ok() || is_let_in ? std::string() : stripe::problem_of(answer),
                       answer.status, kReadBack);
}

Finding check_meter(const core::MeterCheck& meter) {
  const std::string check = "meter " + meter.slug;
  switch (meter.fit) {
    case MeterFit::kNotExported:
      return {Level::kWarn, check, "is a min meter: those are not exported",
              "take its Stripe mapping out of the catalogue"};
    case MeterFit::kMissing:
      return {Level::kFail, check,
              fmt::format("Stripe has no meter of the event name \"{}\"", meter.event_name),
              "tally-admin stripe apply"};
    case MeterFit::kUnfit:
      return {Level::kFail, check, fmt::format("{}", fmt::join(meter.faults, "; ")),
              "nothing of this meter is billed rightly until it is mended"};
    case MeterFit::kFits:
      break;
  }
  return {Level::kOk, check,
          fmt::format("{} ({}, raw, active)", meter.stripe_meter, core::to_string(meter.formula)),
          ""};
}

std::vector<core::MeterCheck> check_all(std::span<const core::Meter> meters,
                                        std::span<const core::StripeMeter> at_stripe) {
  std::vector<core::MeterCheck> checks;
  for (const core::Meter& meter : meters) {
    if (meter.stripe.has_value()) checks.push_back(core::check_stripe_meter(meter, at_stripe));
  }
  return checks;
}

Findings check_items(std::span<const core::MeterCheck> meters,
                     std::span<const core::MeteredItem> items) {
  const std::string check = "subscription items";
  Findings findings;
  for (const std::string& clash : core::double_items(meters, items))
    findings.push_back({Level::kFail, check, clash, "do so at Stripe, then run it again"});
  if (findings.empty())
    findings.push_back({Level::kOk, check, "no customer has two on one of these meters", ""});
  return findings;
}

}  // namespace

Finding check_url(const stripe::Endpoint& endpoint) {
  const std::string check = "stripe url";
  if (stripe::is_loopback_url(endpoint.url)) {
    return {Level::kOk, check, endpoint.url + ": this machine, nothing leaves it", ""};
  }
  if (endpoint.url == stripe::kRealUrl) return {Level::kOk, check, endpoint.url + ": Stripe", ""};
  return {Level::kWarn, check, endpoint.url + " is neither Stripe's nor this machine",
          "take --stripe-url away, or set it to https://api.stripe.com"};
}

Finding check_key(const std::string& key, const std::string& url) {
  const std::string check = "stripe key";
  const std::string how = fmt::format(
      "set STRIPE_SECRET_KEY or give --stripe-key-file PATH ({} has the key)", kWhereKeysAre);
  if (key.empty()) {
    return {Level::kWarn, check, "none: only this machine is spoken to, with the sandbox's key",
            how};
  }
  const auto shape = stripe::key_shape(key);
  if (!shape.has_value()) {
    return {
        Level::kFail, check,
        "is no secret or restricted key: those begin with sk_test_, sk_live_, rk_test_ or rk_live_",
        how};
  }
  const bool is_live = shape->mode == stripe::KeyMode::kLive;
  const std::string says =
      fmt::format("{}... ({} characters): a {} key, {}", shape->prefix, key.size(),
                  shape->kind == stripe::KeyKind::kSecret ? "secret" : "restricted",
                  is_live ? "live: what is exported is billed" : "test mode");
  if (is_live && stripe::is_loopback_url(url)) {
    return {Level::kWarn, check, says + "; and " + url + " gets it",
            "keep live keys away from the sandbox"};
  }
  return {Level::kOk, check, says, ""};
}

Findings check_stripe(stripe::Api& api, const std::string& key, std::span<const core::Meter> meters,
                      const Now& now) {
  Findings findings;
  const core::Timestamp before = now();
  const stripe::Answer account = api.get("/v1/account");
  const core::Timestamp after = now();
  findings.push_back(check_account(account));
  if (!is_answered(account)) return findings;
  findings.push_back(check_date(account, before, after));
  if (findings.front().level == Level::kFail) return findings;

  const auto at_stripe = stripe::list_meters(api);
  findings.push_back(
      check_reading("billing meters", at_stripe.problem, at_stripe.status, kReadBack));
  findings.push_back(
      check_summaries(api, at_stripe.entries.empty() ? "mtr_none" : at_stripe.entries.front().id));
  const auto items = stripe::list_metered_items(api);
  findings.push_back(check_reading("subscriptions", items.problem, items.status,
                                   "two items of one customer on one meter were not looked for",
                                   Level::kWarn));
  const auto shape = stripe::key_shape(key);
  if (shape.has_value() && shape->kind == stripe::KeyKind::kRestricted) {
    findings.push_back({Level::kWarn, "write meter events",
                        "cannot be seen without writing one, and nothing is written",
                        "see at Stripe that the restricted key may write meter events"});
  }
  if (!at_stripe.is_whole()) return findings;
  const std::vector<core::MeterCheck> checks = check_all(meters, at_stripe.entries);
  for (const core::MeterCheck& check : checks) findings.push_back(check_meter(check));
  if (!items.is_whole()) return findings;
  const Findings of_items = check_items(checks, items.entries);
  findings.insert(findings.end(), of_items.begin(), of_items.end());
  return findings;
}

}  // namespace tally::exporter::doctor
