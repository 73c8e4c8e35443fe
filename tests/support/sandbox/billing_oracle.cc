#include "tests/support/sandbox/billing_oracle.h"

#include "tests/support/sandbox/billing.h"

#include <array>
#include <map>
#include <utility>
#include <vector>

namespace tally::sandbox {
namespace {

using nlohmann::json;

// What the lines of finalized invoices say of one usage period or invoice item.
struct Billed {
  std::int64_t lines = 0;
  Units quantity = 0;
  std::int64_t amount = 0;
};

struct OnInvoices {
  std::map<std::string, Billed> periods;
  std::map<std::string, Billed> items;
};

OnInvoices on_invoices(const Documents& documents) {
  OnInvoices out;
  for (const auto& [id, invoice] : documents.all("invoice")) {
    if (invoice["status"] == "draft" || invoice["status"] == "void") continue;
    for (const json& line : invoice["lines"]["data"]) {
      const json& notes = line["sandbox"];
      const bool is_item = line["parent"]["type"] == "invoice_item_details";
      if (!is_item && !notes.contains("period")) continue;  // a fee, or a line of nothing
      const std::string of =
          is_item ? line["parent"]["invoice_item_details"]["invoice_item"] : notes["period"];
      Billed& billed = (is_item ? out.items : out.periods)[of];
      ++billed.lines;
      billed.quantity =
          add(billed.quantity, read_units(line["quantity_decimal"].get_ref<const std::string&>()));
      billed.amount += line["amount"].get<std::int64_t>();
    }
  }
  return out;
}

// Of one usage period, or the sum of many.
struct Fate {
  Units counted = 0;       // by now
  Units billed = 0;        // on lines of finalized invoices
  Units rounded = 0;       // what the line's arithmetic lost, below 0: added
  Units waiting = 0;       // open or on a draft
  Units late_added = 0;    // counted after its invoice was finalized
  Units late_removed = 0;  // 0 or below: cancelled, or below 0 itself, after that
  Units negative = 0;      // a total below 0, which is billed as 0
  Units dropped = 0;       // see "why"
  [[nodiscard]] Units late() const { return add(late_added, late_removed); }
};

using Part = std::pair<const char*, Units Fate::*>;
constexpr std::array<Part, 8> kParts = {{{"counted", &Fate::counted},
                                         {"billed", &Fate::billed},
                                         {"rounded", &Fate::rounded},
                                         {"waiting", &Fate::waiting},
                                         {"late_added", &Fate::late_added},
                                         {"late_removed", &Fate::late_removed},
                                         {"negative", &Fate::negative},
                                         {"dropped", &Fate::dropped}}};

Units units_at(const json& notes, const char* name) {
  return read_units(notes[name].get_ref<const std::string&>());
}

void add_late(Fate& fate, const json& period, const Books& books) {
  const Meter& meter = *books.meter(period["meter"].get_ref<const std::string&>());
  const json& frozen = period["frozen"];
  // What overwrites cannot be told apart event by event.
  if (meter.formula == Formula::kLast || meter.window != TimeWindow::kNone) {
    const Units late = fate.counted - units_at(frozen, "counted");
    (late > 0 ? fate.late_added : fate.late_removed) = late;
    return;
  }
  const Books::Changes changes =
      books.changes(meter, period["customer"], span_of(period), frozen["turn"]);
  fate.late_added = changes.added;
  fate.late_removed = changes.removed;
}

Fate fate_of(const json& period, const Books& books, const Billed& billed) {
  Fate fate;
  fate.counted = quantity_of(period, books).exact;
  fate.billed = billed.quantity;
  const std::string& state = period["state"].get_ref<const std::string&>();
  if (state == "billed") {
    const Units frozen = units_at(period["frozen"], "counted");
    fate.negative = std::min<Units>(frozen, 0);
    fate.rounded = std::max<Units>(frozen, 0) - units_at(period["frozen"], "line");
    add_late(fate, period, books);
  } else if (state == "dropped") {
    fate.dropped = fate.counted;
  } else {
    fate.waiting = fate.counted;
  }
  return fate;
}

// A period is on one line of one finalized invoice, with what was frozen, or on none.
bool is_wrong(const json& period, const Billed& billed) {
  if (period["state"] != "billed") return billed.lines != 0;
  return billed.lines != 1 || billed.quantity != units_at(period["frozen"], "line");
}

struct Balance {
  Fate sum;
  std::map<std::string, Units> dropped;  // by why
  std::vector<Span> spans;
};

json shown(const Balance& of, Units counted, Units outside) {
  json out = {{"outside", text_of(outside)}, {"late", text_of(of.sum.late())}};
  Units parts = outside;
  for (const auto& [name, member] : kParts) {
    out[name] = text_of(of.sum.*member);
    if (member != &Fate::counted) parts = add(parts, of.sum.*member);
  }
  out["counted"] = text_of(counted);
  out["more_than_once"] = text_of(parts - counted);
  out["dropped"] = json::object();
  for (const auto& [why, units] : of.dropped) out["dropped"][why] = text_of(units);
  return out;
}

json items_of(const Documents& documents, std::map<std::string, Billed>& billed) {
  struct Sum {
    Units quantity = 0;
    std::int64_t amount = 0;
  };
  std::map<std::string, std::map<std::string, Sum>> sums;  // customer -> state
  json out = json::object();
  for (const auto& [id, item] : documents.all("invoiceitem")) {
    const Billed& lines = billed[id];
    const std::string state = lines.lines > 0 ? "billed" : "waiting";
    const std::string customer = item["customer"];
    Sum& sum = sums[customer][state];
    sum.quantity =
        add(sum.quantity, lines.lines > 0 ? lines.quantity : units_at(item, "quantity_decimal"));
    sum.amount += lines.lines > 0 ? lines.amount : item["amount"].get<std::int64_t>();
    out[customer]["items"].push_back({{"id", id},
                                      {"quantity_decimal", item["quantity_decimal"]},
                                      {"amount", item["amount"]},
                                      {"currency", item["currency"]},
                                      {"description", item["description"]},
                                      {"metadata", item["metadata"]},
                                      {"invoice", item["invoice"]},
                                      {"lines", lines.lines},
                                      {"state", state}});
  }
  for (const auto& [customer, by_state] : sums) {
    for (const char* state : {"waiting", "billed"}) {
      const auto sum = by_state.find(state);
      const Sum none;
      const Sum& shown = sum == by_state.end() ? none : sum->second;
      out[customer][state] = {{"quantity", text_of(shown.quantity)}, {"amount", shown.amount}};
    }
  }
  return out;
}

}  // namespace

json oracle_periods(const Books& books, const Documents& documents, const std::string& customer,
                    const std::string& invoice) {
  OnInvoices lines = on_invoices(documents);
  json rows = json::array();
  for (const auto& [id, period] : documents.all("usage_period")) {
    if (!customer.empty() && period["customer"] != customer) continue;
    if (!invoice.empty() && period["invoice"] != invoice) continue;
    const Billed& billed = lines.periods[id];
    const Fate fate = fate_of(period, books, billed);
    json row = period;
    row.erase("object");
    row.erase("frozen");
    row["price"] = period["price"]["id"];
    row["event_name"] = books.meter(period["meter"].get_ref<const std::string&>())->event_name;
    row["lines"] = billed.lines;
    row["late"] = text_of(fate.late());
    for (const auto& [name, member] : kParts) row[name] = text_of(fate.*member);
    rows.push_back(std::move(row));
  }
  return {{"periods", std::move(rows)}};
}

json oracle_billing(const Books& books, const Documents& documents) {
  std::map<std::pair<std::string, std::string>, Balance> balances;  // meter, customer
  for (const auto& series : books.series()) balances[series];
  OnInvoices lines = on_invoices(documents);
  json wrong = json::array();
  for (const auto& [id, period] : documents.all("usage_period")) {
    const Billed& billed = lines.periods[id];
    if (is_wrong(period, billed)) wrong.push_back(id);
    Balance& of = balances[{period["meter"], period["customer"]}];
    const Fate fate = fate_of(period, books, billed);
    for (const auto& [name, member] : kParts) of.sum.*member = add(of.sum.*member, fate.*member);
    if (fate.dropped != 0) of.dropped[period["why"]] += fate.dropped;
    of.spans.push_back(span_of(period));
  }
  json meters = json::object();
  for (const auto& [series, balance] : balances) {
    const auto& [id, customer] = series;
    const Meter* meter = books.meter(id);
    // What was last cannot be added up over periods.
    if (meter == nullptr || meter->formula == Formula::kLast) continue;
    meters[id]["event_name"] = meter->event_name;
    meters[id]["customers"][customer] = shown(balance, books.quantity(*meter, customer, {}).exact,
                                              books.outside(*meter, customer, balance.spans));
  }
  return {{"meters", std::move(meters)},
          {"wrong_periods", std::move(wrong)},
          {"invoice_items", items_of(documents, lines.items)}};
}

}  // namespace tally::sandbox
