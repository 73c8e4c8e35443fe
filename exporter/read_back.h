// Reading back: what Stripe's summary of its minute says about a row whose outcome is unknown and
// that may no longer be sent. One event stands in a minute of a customer and event name, so the
// minute answers for the row.
//
//   the minute shows                    then
//   the row's value                     delivered
//   nothing (or 0), twice               rejected: it never arrived, its value is planned anew
//   something else, twice the same      held: a person must look. So is "no such meter": where the
//                                       row went there was one, so this may be another account
//   no answer                           it is asked again in the next cycle
//
// Summaries lag. So a reading counts only an hour after the last moment at which the row can have
// been sent, and two that agree must be ten minutes apart.
#pragma once

#include "exporter/export_store.h"
#include "exporter/meter_event_api.h"
#include "exporter/sender.h"

#include <cstddef>
#include <cstdint>

namespace tally::exporter {

inline constexpr std::int64_t kFirstReadingSeconds = 3'600 + kMarkedForSeconds;
inline constexpr std::int64_t kBetweenReadingsSeconds = 600;
// Of one cycle; Stripe counts reads.
inline constexpr std::size_t kReadingsPerCycle = 200;
inline constexpr int kUnansweredReadings = 3;  // in a row: then the rest waits for the next cycle

// Pure. `reading` must be answered, and not earlier than the row allows (is_due()).
[[nodiscard]] Settlement settle_by(const UncertainRow& row, const MinuteReading& reading,
                                   core::Timestamp now);
[[nodiscard]] bool is_due(const UncertainRow& row, core::Timestamp now);

struct ReadBackCounts {
  std::size_t readings = 0;
  std::size_t delivered = 0;
  std::size_t absent = 0;
  std::size_t held = 0;
  void add(const ReadBackCounts& other);
};

// Reads the minutes of uncertain rows, oldest first, and stores what follows. Throws what the store
// throws; what was settled until then stays so.
[[nodiscard]] ReadBackCounts read_back(ExportStore& store, MeterEventApi& api, SenderClock& clock);

}  // namespace tally::exporter
