// Where the tenants of a run live and when they are billed, told twice: as the book that the
// aggregator reads, and in longhand for the auditor. The clocks of the zones are written down here
// by hand and days are found by walking, so that the auditor shares nothing with core/calendar.h.
#pragma once

#include "core/window.h"
#include "tests/simulation/tables.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace tally::simulation {

// Seconds since 1970; the date in days since then.
struct LocalDay {
  std::int64_t start = 0;
  std::int64_t end = 0;
  std::int32_t date = 0;
};

// The days of one zone over all the time that schedules play in.
class ZoneDays {
 public:
  // From each second on, the clock is so many seconds ahead of UTC.
  using Clock = std::vector<std::pair<std::int64_t, std::int64_t>>;
  explicit ZoneDays(const Clock& clock);

  [[nodiscard]] LocalDay day_of(std::int64_t seconds) const;
  [[nodiscard]] LocalDay month_of(std::int64_t seconds) const;

 private:
  std::vector<std::pair<std::int64_t, std::int32_t>> starts_;  // of each day, with its date
};

struct Period {
  std::int64_t start = 0;
  std::int64_t end = 0;
};

// One tenant under one catalogue.
struct TenantFacts {
  std::string zone = "UTC";
  const ZoneDays* days = nullptr;
  std::vector<Period> periods;  // none overlap
  bool pays_by_stripe = false;

  // docs/decisions/0007: where the window that holds this moment begins and ends.
  [[nodiscard]] Period window_of(std::int64_t seconds, core::WindowSize size) const;
};

// A tenant whose zone and periods change with the catalogue, and none of whose events is ever sent
// twice: nobody could tell which copy was counted where.
inline constexpr const char* kNomad = "nomad";
// Tenants of one identity each that are in the book, and whose periods come with the catalogue.
inline constexpr std::size_t kSettlers = 8;
[[nodiscard]] std::string settler(std::size_t number);

// Immutable, shared by all schedules that begin at the same moment.
class Tenants {
 public:
  explicit Tenants(std::int64_t first_log_seconds);

  // What the database holds, beside its catalogues.
  [[nodiscard]] const std::vector<TenantRows>& rows() const { return rows_; }
  [[nodiscard]] const TenantFacts& of(const std::string& tenant, std::size_t catalogue) const;

 private:
  void add(const std::string& tenant, std::size_t catalogue, const std::string& zone,
           std::vector<Period> periods, bool pays_by_stripe);

  TenantFacts unknown_;
  std::vector<std::map<std::string, TenantFacts>> facts_;  // by catalogue
  std::vector<TenantRows> rows_;
};

// Schedules begin before clocks change and before months and a year end.
inline constexpr std::int64_t kFirstLogSeconds[] = {1'700'006'400, 1'698'192'000, 1'711'324'800,
                                                    1'703'721'600};
[[nodiscard]] std::vector<Tenants> make_tenants();

}  // namespace tally::simulation
