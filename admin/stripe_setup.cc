#include "admin/stripe_setup.h"

#include "admin/table.h"
#include "core/text.h"
#include "runtime/crypto/crypto.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <utility>

namespace tally::admin {
namespace {

using core::Error;
using core::ErrorKind;
using core::MeterCheck;
using core::MeterFit;
using core::Result;
using runtime::http::percent_encode;
using runtime::stripe::Api;

// Stripe keeps what it answered under a key for a day, refusals too: so many keys are tried.
constexpr int kMostKeys = 5;
constexpr std::size_t kMostShownBytes = 2'000;

std::string_view action_of(MeterFit fit) {
  switch (fit) {
    case MeterFit::kNotExported:
      return "none";
    case MeterFit::kMissing:
      return "create";
    case MeterFit::kUnfit:
      return "refuse";
    case MeterFit::kFits:
      return "ready";
  }
  return "";
}

// What Stripe wrote must not steer a terminal.
std::string shown(const std::string& text) { return core::printable_ascii(text, kMostShownBytes); }

// What a run found and did.
struct Account {
  SetupPlan plan;
  std::vector<std::pair<std::string, std::string>> created;  // slug, Stripe's id
  std::string result;                                        // one word
};

void show_plan(const Account& account, std::ostream& out) {
  const SetupPlan& plan = account.plan;
  std::vector<std::vector<std::string>> rows;
  for (const MeterCheck& check : plan.meters) {
    const bool is_sent = check.fit != MeterFit::kNotExported;
    rows.push_back({check.slug, check.event_name,
                    is_sent ? std::string(core::to_string(check.formula)) : "not exported",
                    check.stripe_meter, std::string(action_of(check.fit))});
  }
  print_table(out, {{"meter"}, {"event_name"}, {"formula"}, {"at Stripe"}, {"to do"}}, rows);
  for (const MeterCheck& check : plan.meters) {
    for (const std::string& fault : check.faults)
      out << fmt::format("refused: {}: {}\n", check.slug, shown(fault));
  }
  for (const std::string& clash : plan.clashes) out << fmt::format("refused: {}\n", shown(clash));
  out << fmt::format("{} to create, {} ready, {} refused.\n", plan.count(MeterFit::kMissing),
                     plan.count(MeterFit::kFits),
                     plan.count(MeterFit::kUnfit) + plan.clashes.size());
}

std::string json_list(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ",") + json_string(text);
  return "[" + out + "]";
}

std::string json_of(const Account& account) {
  std::string meters;
  for (const MeterCheck& check : account.plan.meters) {
    const auto created = std::find_if(account.created.begin(), account.created.end(),
                                      [&](const auto& one) { return one.first == check.slug; });
    const bool is_created = created != account.created.end();
    const bool is_sent = check.fit != MeterFit::kNotExported;
    meters += fmt::format(
        R"({}{{"meter":{},"event_name":{},"formula":{},"action":"{}","stripe_meter":{},)"
        R"("faults":{}}})",
        meters.empty() ? "" : ",", json_string(check.slug), json_string(check.event_name),
        is_sent ? json_string(core::to_string(check.formula)) : "null",
        is_created ? "created" : action_of(check.fit),
        json_string(is_created ? created->second : check.stripe_meter), json_list(check.faults));
  }
  return fmt::format(
      R"({{"result":"{}","created":{},"meters":[{}],"clashes":{},"subscriptions":"checked"}})"
      "\n",
      account.result, account.created.size(), meters, json_list(account.plan.clashes));
}

Error unreadable(std::string_view what, const std::string& problem, int status) {
  const bool is_key = status == 401 || status == 403;
  return {is_key ? ErrorKind::kInvalid : ErrorKind::kUnavailable,
          fmt::format("Stripe's {} cannot be read, and nothing was created: {}{}", what, problem,
                      status == 401   ? ": check the key"
                      : status == 403 ? ": give the key the permission to read them"
                                      : "")};
}

// Fills the plan; an error when Stripe, or any of its subscriptions, cannot be read: a plan has
// seen both.
Result<void> look(std::span<const core::Meter> meters, Api& api, Account& account) {
  const auto at_stripe = runtime::stripe::list_meters(api);
  if (!at_stripe.is_whole())
    return unreadable("billing meters", at_stripe.problem, at_stripe.status);
  const auto items = runtime::stripe::list_metered_items(api);
  if (!items.is_whole()) return unreadable("subscriptions", items.problem, items.status);
  account.plan = plan_setup(meters, at_stripe.entries, items.entries);
  return boost::outcome_v2::success();
}

// The id of the meter where it is what was asked for.
Result<std::string> judge(const core::Meter& meter, std::span<const core::StripeMeter> at_stripe) {
  const MeterCheck check = core::check_stripe_meter(meter, at_stripe);
  if (check.fit == MeterFit::kFits) return check.stripe_meter;
  return Error{ErrorKind::kConflict,
               fmt::format("{}: Stripe made another meter than it was asked for: {}", meter.slug,
                           check.faults.empty() ? "it has another event_name, or is inactive"
                                                : check.faults.front())};
}

// The id of the meter that was made. A kept answer tells of another day, and a lost one of nothing:
// after these what is there counts. Of one event name Stripe has one active meter, so another key
// makes no second one.
Result<std::string> create(Api& api, const core::Meter& meter, const MeterCheck& wanted) {
  const std::string form = meter_form(wanted);
  runtime::stripe::Answer answer;
  for (int number = 1; number <= kMostKeys; ++number) {
    answer = api.post("/v1/billing/meters", form, meter_key(form, number));
    if (answer.is_ok() && !answer.is_replayed) {
      const auto made = runtime::stripe::meter_of(answer.body);
      if (made.has_value()) return judge(meter, {&*made, 1});
    }
    const auto at_stripe = runtime::stripe::list_meters(api);
    if (!at_stripe.is_whole()) break;
    if (core::check_stripe_meter(meter, at_stripe.entries).fit != MeterFit::kMissing)
      return judge(meter, at_stripe.entries);
    if (!answer.is_replayed) break;
  }
  return Error{ErrorKind::kUnavailable,
               fmt::format("{}: {}; run it again: what was made is found then", wanted.slug,
                           answer.is_ok() ? runtime::stripe::not_of_stripe(answer.body)
                                          : runtime::stripe::problem_of(answer))};
}

Result<void> create_missing(std::span<const core::Meter> meters, Api& api, Account& account,
                            const std::function<void(const std::string&)>& say) {
  for (const MeterCheck& check : account.plan.meters) {
    if (check.fit != MeterFit::kMissing) continue;
    const auto meter = std::find_if(meters.begin(), meters.end(),
                                    [&](const core::Meter& m) { return m.slug == check.slug; });
    auto made = create(api, *meter, check);
    if (!made) return made.error();
    say(fmt::format("created {} for {}\n", made.value(), check.slug));
    account.created.emplace_back(check.slug, std::move(made).value());
  }
  return boost::outcome_v2::success();
}

// What becomes of the plan; sets the account's result.
Result<void> carry_out(std::span<const core::Meter> meters, Api& api, const SetupRequest& request,
                       Account& account, const std::function<void(const std::string&)>& say) {
  const std::size_t missing = account.plan.count(MeterFit::kMissing);
  if (account.plan.is_refused()) {
    account.result = "refused";
    return Error{
        ErrorKind::kConflict,
        "nothing was created: what is refused would bill something else than tally counts"};
  }
  account.result = "nothing_to_do";
  if (missing == 0) {
    say("Nothing to do.\n");
    return boost::outcome_v2::success();
  }
  if (request.mode == SetupRequest::Mode::kDryRun) {
    account.result = "dry_run";
    say("Dry run: nothing was created.\n");
    return boost::outcome_v2::success();
  }
  if (!request.confirm || !request.confirm()) {
    account.result = "not_confirmed";
    return core::invalid(request.confirm ? "nothing was created: that was no yes"
                                         : "nothing was created: give --yes, or --dry-run to look");
  }
  account.result = "failed";
  auto made = create_missing(meters, api, account, say);
  if (made) account.result = "created";
  return made;
}

}  // namespace

std::size_t SetupPlan::count(MeterFit fit) const {
  return static_cast<std::size_t>(
      std::count_if(meters.begin(), meters.end(), [&](const auto& m) { return m.fit == fit; }));
}

bool SetupPlan::is_refused() const { return count(MeterFit::kUnfit) > 0 || !clashes.empty(); }

SetupPlan plan_setup(std::span<const core::Meter> meters,
                     std::span<const core::StripeMeter> at_stripe,
                     std::span<const core::MeteredItem> items) {
  SetupPlan plan;
  for (const core::Meter& meter : meters) {
    if (!meter.stripe.has_value()) continue;
    plan.meters.push_back(core::check_stripe_meter(meter, at_stripe));
  }
  plan.clashes = core::double_items(plan.meters, items);
  return plan;
}

std::string meter_form(const MeterCheck& wanted) {
  return fmt::format(
      "display_name={}&event_name={}&default_aggregation[formula]={}"
      "&customer_mapping[event_payload_key]={}&customer_mapping[type]=by_id"
      "&value_settings[event_payload_key]={}",
      percent_encode(wanted.slug), percent_encode(wanted.event_name),
      core::to_string(wanted.formula), core::kStripeCustomerKey, core::kStripeValueKey);
}

std::string meter_key(const std::string& form, int number) {
  const auto digest = runtime::crypto::hmac_sha256("tally-admin stripe apply", form);
  return fmt::format("tally-meter-{}-{}", runtime::crypto::to_hex(digest), number);
}

Result<void> apply_to_stripe(std::span<const core::Meter> meters, Api& api,
                             const SetupRequest& request, std::ostream& out) {
  Account account;
  if (auto looked = look(meters, api, account); !looked) return looked;
  const bool is_table = request.format == Format::kTable;
  if (is_table) {
    show_plan(account, out);
    out.flush();
  }
  auto done = carry_out(meters, api, request, account, [&](const std::string& line) {
    if (is_table) out << line << std::flush;
  });
  if (!is_table) out << json_of(account);
  return done;
}

}  // namespace tally::admin
