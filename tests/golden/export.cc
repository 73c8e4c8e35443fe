#include "tests/golden/export.h"

#include <nlohmann/json.hpp>

#include <string_view>

namespace tally::golden {

using nlohmann::ordered_json;

namespace {

// Values may be no UTF-8.
std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += kDigits[static_cast<unsigned char>(c) >> 4U];
    text += kDigits[static_cast<unsigned char>(c) & 0xfU];
  }
  return text;
}

ordered_json record_json(const Arranged& one) {
  const GoldenRecord& record = *one.record;
  ordered_json headers = ordered_json::array();
  for (const auto& [name, value] : record.headers) headers.push_back({name, hex(value)});
  const char* delivery = record.delivery == Delivery::kPlain     ? "plain"
                         : record.delivery == Delivery::kAborted ? "aborted"
                                                                 : "committed";
  return {{"partition", one.partition},
          {"delivery", delivery},
          {"key", hex(record.key)},
          {"value", hex(record.value)},
          {"headers", headers}};
}

// Each total: its key, then any of what may stand there; null is not told.
ordered_json totals_json(const Books& books) {
  ordered_json totals = ordered_json::array();
  for (const auto& [key, acceptable] : books.totals) {
    ordered_json any_of = ordered_json::array();
    for (const Standing& one : acceptable) {
      any_of.push_back({one.kind, one.value, one.events,
                        one.end_seconds ? ordered_json(*one.end_seconds) : ordered_json(),
                        one.read_at_us ? ordered_json(*one.read_at_us) : ordered_json()});
    }
    totals.push_back({key, any_of});
  }
  return totals;
}

}  // namespace

std::string export_json(const GoldenCase& golden, const Variant& variant) {
  if (golden.fixed_clock)
    throw BadCase(golden.name +
                  ": a time is the log's or written in full: it cannot move to today");
  ordered_json records = ordered_json::array();
  for (const Arranged& one : arrange(golden, variant)) {
    if (one.record->delivery == Delivery::kGap)
      throw BadCase(golden.name + ": a broker cannot be told to write a marker alone");
    if (one.batch != 0) throw BadCase(golden.name + ": the log's clock cannot be told the time");
    records.push_back(record_json(one));
  }
  const Books books = books_of(golden, variant);
  ordered_json periods = ordered_json::array();
  for (const Period& period : golden.periods)
    periods.push_back({period.tenant, period.start_seconds, period.end_seconds});
  ordered_json admitted = ordered_json::array();
  for (const Admitted& one : golden.admitted)
    admitted.push_back({one.tenant, one.meter, one.month_seconds, one.dimensions});
  ordered_json spans = ordered_json::array();
  for (const char* span : {kWindow, "day", "month", "period"}) {
    if (golden.tells(span)) spans.push_back(span);
  }
  return ordered_json{{"catalogue", ordered_json::parse(golden.catalogue)},
                      {"partitions", variant.partitions},
                      {"instances", variant.instances},
                      {"periods", periods},
                      {"admitted", admitted},
                      {"records", records},
                      {"spans", spans},
                      {"totals", totals_json(books)},
                      {"classes", books.classes},
                      {"rejects", books.rejects}}
      .dump();
}

}  // namespace tally::golden
