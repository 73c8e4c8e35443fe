#include "admin/rejects.h"

#include "admin/table.h"

#include <fmt/format.h>

#include <ostream>
#include <string_view>
#include <vector>

namespace tally::admin {
namespace {

using runtime::postgres::Connection;
using runtime::postgres::Params;
using runtime::postgres::Rows;

constexpr const char* kMatches =
    " FROM tally.reject WHERE ($1 = '' OR reason = $1) AND ($2 = '' OR class = $2)";

void print_json(const Rows& rows, std::ostream& out) {
  // The names of the columns of the query below, in its order.
  constexpr std::string_view kNames[] = {"log_time",  "class",  "reason", "topic",
                                         "partition", "offset", "meter",  "tenant",
                                         "detail",    "key",    "value",  "headers"};
  for (std::size_t row = 0; row < rows.size(); ++row) {
    std::string line = "{";
    for (std::size_t column = 0; column < std::size(kNames); ++column) {
      if (column > 0) line += ',';
      line += json_string(kNames[column]) + ':';
      const bool number = kNames[column] == "partition" || kNames[column] == "offset";
      if (rows.is_null(row, column)) {
        line += "null";
      } else {
        line += number ? std::string(rows.text(row, column)) : json_string(rows.text(row, column));
      }
    }
    out << line << "}\n";
  }
}

}  // namespace

void list_rejects(Connection& connection, const RejectFilter& filter, Format format,
                  std::ostream& out) {
  const Params matches = {filter.reason, filter.record_class};
  Params params = matches;
  params.emplace_back(std::to_string(filter.limit));
  const bool json = format == Format::kJson;
  const std::string bytes = json ? ", encode(record_key, 'hex'), encode(record_value, 'hex'),"
                                   " encode(record_headers, 'hex')"
                                 : "";
  const Rows rows = connection.exec(
      "SELECT to_char(log_time, 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), class, reason, topic,"
      " partition, record_offset, meter, tenant, detail" +
          bytes + kMatches +
          " ORDER BY log_time DESC, topic, partition, record_offset DESC, meter LIMIT $3::bigint",
      params);
  if (json) return print_json(rows, out);
  std::vector<std::vector<std::string>> cells;
  for (std::size_t row = 0; row < rows.size(); ++row) {
    cells.emplace_back();
    for (std::size_t column = 0; column < 9; ++column) {
      if (column == 3) continue;  // the topic is the deployment's, the same in every row
      const std::string text(rows.text(row, column));
      cells.back().push_back(text.empty() ? "-" : text);
    }
  }
  print_table(out,
              {{"log time"},
               {"class"},
               {"reason"},
               {"partition", Align::kRight},
               {"offset", Align::kRight},
               {"meter"},
               {"tenant"},
               {"detail"}},
              cells);
  const std::int64_t all =
      connection.exec(std::string("SELECT count(*)") + kMatches, matches).int64(0, 0);
  const std::int64_t overflow =
      connection.exec("SELECT coalesce(sum(rows), 0)::bigint FROM tally.reject_overflow")
          .int64(0, 0);
  out << fmt::format("{} of {} shown", rows.size(), all);
  if (overflow > 0) {
    out << fmt::format("; {} more rejects of any kind were only counted (tally.reject_overflow)",
                       overflow);
  }
  out << '\n';
}

}  // namespace tally::admin
