// The events of a load. Event number n is a function of the options and n alone: any thread makes
// any of them, the same run makes them byte for byte again, and a copy is made by making the first
// again. They carry no time, so each has that of its record in the log (through the daemon: of its
// acceptance).
#pragma once

#include "core/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tally::producer::load {

struct StreamOptions {
  std::uint64_t seed = 1;
  std::uint64_t tenants = 10;           // at least 1
  std::string tenant_prefix = "load-";  // load-0001, load-0002, …
  std::vector<std::string> types = {"load.event"};
  std::uint64_t dimensions = 10;         // values of /dimension in data, at least 1
  std::uint64_t duplicates_percent = 0;  // 0 to 99
  std::string source = "/tally-producer/load";
};

// Immutable; any thread.
class EventStream {
 public:
  // An error where tally would reject one of its events, with the reason.
  [[nodiscard]] static core::Result<EventStream> make(StreamOptions options);

  // Of the first n events, those that are copies of earlier ones: exactly duplicates_percent of
  // each hundred.
  [[nodiscard]] std::uint64_t copies(std::uint64_t events) const;
  // "load-SEED-000000000042"; written over `id`.
  void write_id(std::uint64_t number, std::string& id) const;
  // Appends the structured CloudEvent.
  void append_event(std::uint64_t number, std::string& out) const;

 private:
  explicit EventStream(StreamOptions options);
  // The number among the events that are no copies.
  [[nodiscard]] std::uint64_t identity(std::uint64_t number) const;
  void append_text(std::uint64_t identity, std::uint64_t tenant, std::string_view type,
                   std::string& out) const;

  StreamOptions options_;
  std::string source_;
  std::string tenant_prefix_;  // of source and this: JSON, the latter without its quotes
  std::vector<std::string> types_;
};

}  // namespace tally::producer::load
