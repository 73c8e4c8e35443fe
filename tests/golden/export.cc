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
  ordered_json windows = ordered_json::array();
  for (const auto& [key, acceptable] : books.windows) {
    const auto& [tenant, meter, start, dimensions] = key;
    windows.push_back({{"window", {tenant, meter, start, dimensions}}, {"any_of", acceptable}});
  }
  return ordered_json{{"catalogue", ordered_json::parse(golden.catalogue)},
                      {"partitions", variant.partitions},
                      {"instances", variant.instances},
                      {"records", records},
                      {"windows", windows},
                      {"classes", books.classes},
                      {"rejects", books.rejects}}
      .dump();
}

}  // namespace tally::golden
