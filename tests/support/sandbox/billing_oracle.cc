// What became of every counted unit: billed, waiting for its invoice, or lost and why.
#include "tests/support/sandbox/billing.h"

namespace tally::sandbox {
namespace {

using nlohmann::json;

// Of one usage period.
struct Fate {
  Units counted = 0;   // by now
  Units billed = 0;    // on its invoice, once that was finalized
  Units waiting = 0;   // open or on a draft
  Units late = 0;      // counted (or cancelled: below 0) after its invoice was finalized
  Units negative = 0;  // a total below 0, which is billed as 0
  Units dropped = 0;   // see "why"
};

Fate fate_of(const json& period, Units counted) {
  Fate fate;
  fate.counted = counted;
  const std::string& state = period["state"].get_ref<const std::string&>();
  if (state == "billed") {
    const Units frozen = read_units(period["counted"].get_ref<const std::string&>());
    fate.billed = read_units(period["billed"].get_ref<const std::string&>());
    fate.late = counted - frozen;
    fate.negative = frozen - fate.billed;
  } else if (state == "dropped") {
    fate.dropped = counted;
  } else {
    fate.waiting = counted;
  }
  return fate;
}

struct Balance {
  Fate sum;
  std::map<std::string, Units> dropped;  // by why
  std::vector<Span> spans;
};

json shown(const Balance& of, Units counted, Units outside) {
  json out = {{"counted", text_of(counted)},
              {"billed", text_of(of.sum.billed)},
              {"waiting", text_of(of.sum.waiting)},
              {"late", text_of(of.sum.late)},
              {"negative", text_of(of.sum.negative)},
              {"outside", text_of(outside)},
              {"dropped", json::object()},
              {"more_than_once", text_of(add(of.sum.counted, outside) - counted)}};
  for (const auto& [why, units] : of.dropped) out["dropped"][why] = text_of(units);
  return out;
}

}  // namespace

json Billing::oracle_periods(const std::string& customer, const std::string& invoice) const {
  json rows = json::array();
  for (const auto& [id, period] : documents_.all("usage_period")) {
    if (!customer.empty() && period["customer"] != customer) continue;
    if (!invoice.empty() && period["invoice"] != invoice) continue;
    const Fate fate = fate_of(period, quantity(period));
    const Meter* meter = books_.meter(period["meter"].get_ref<const std::string&>());
    json row = period;
    row.erase("object");
    row["price"] = period["price"]["id"];
    row["event_name"] = meter->event_name;
    row["counted"] = text_of(fate.counted);
    row["billed"] = text_of(fate.billed);
    row["waiting"] = text_of(fate.waiting);
    row["late"] = text_of(fate.late);
    row["negative"] = text_of(fate.negative);
    row["dropped"] = text_of(fate.dropped);
    rows.push_back(std::move(row));
  }
  return {{"periods", std::move(rows)}};
}

json Billing::oracle_billing() const {
  std::map<std::pair<std::string, std::string>, Balance> balances;  // meter, customer
  for (const auto& series : books_.series()) balances[series];
  for (const auto& [id, period] : documents_.all("usage_period")) {
    Balance& of = balances[{period["meter"], period["customer"]}];
    const Fate fate = fate_of(period, quantity(period));
    of.sum.counted = add(of.sum.counted, fate.counted);
    of.sum.billed = add(of.sum.billed, fate.billed);
    of.sum.waiting = add(of.sum.waiting, fate.waiting);
    of.sum.late = add(of.sum.late, fate.late);
    of.sum.negative = add(of.sum.negative, fate.negative);
    if (fate.dropped != 0) of.dropped[period["why"]] += fate.dropped;
    of.spans.push_back({period["start"], period["end"].get<std::int64_t>()});
  }
  json meters = json::object();
  for (const auto& [series, balance] : balances) {
    const auto& [meter, customer] = series;
    const Meter* of = books_.meter(meter);
    // What was last cannot be added up over periods.
    if (of == nullptr || of->formula == Formula::kLast) continue;
    meters[meter]["event_name"] = of->event_name;
    meters[meter]["customers"][customer] = shown(balance, books_.quantity(meter, customer, {}),
                                                 books_.outside(meter, customer, balance.spans));
  }
  return {{"meters", std::move(meters)}};
}

}  // namespace tally::sandbox
