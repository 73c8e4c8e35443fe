// The calendars of all tenants, as one version of the catalogue gives them. Immutable once it is
// shared; then thread-safe.
#pragma once

#include "core/calendar.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace tally::aggregator {

struct TenantHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view tenant) const {
    return std::hash<std::string_view>{}(tenant);
  }
};

class TenantBook {
 public:
  using Calendars =
      boost::unordered_flat_map<std::string, core::Calendar, TenantHash, std::equal_to<>>;

  TenantBook() = default;  // nobody is known
  explicit TenantBook(Calendars calendars) : calendars_(std::move(calendars)) {}

  // The tenant as the book spells it, and its calendar; end() for an unknown one.
  [[nodiscard]] Calendars::const_iterator find(std::string_view tenant) const {
    return calendars_.find(tenant);
  }
  [[nodiscard]] Calendars::const_iterator end() const { return calendars_.end(); }

  // Unknown tenants are counted too, in UTC.
  [[nodiscard]] const core::Calendar& calendar_of(std::string_view tenant) const {
    const auto found = find(tenant);
    return found == end() ? unknown_ : found->second;
  }
  [[nodiscard]] const core::Calendar& unknown() const { return unknown_; }
  [[nodiscard]] std::size_t size() const { return calendars_.size(); }

 private:
  Calendars calendars_;
  core::Calendar unknown_;
};

}  // namespace tally::aggregator
