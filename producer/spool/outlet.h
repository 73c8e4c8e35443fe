// Where the relay sends what it reads: Kafka behind it in the programs, a script in the tests. What
// is promised is what runtime/kafka/producer.h promises; both sides speak its types.
#pragma once

#include "core/result.h"
#include "runtime/kafka/producer.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tally::producer::spool {

class Outlet {
 public:
  virtual ~Outlet() = default;  // ends what is outstanding, calling back for each
  [[nodiscard]] virtual runtime::kafka::Enqueued produce(std::string_view key,
                                                         std::string_view value,
                                                         std::uint64_t tag) = 0;
  virtual void wait_for_room(std::chrono::milliseconds time) = 0;
  [[nodiscard]] virtual std::size_t flush(std::chrono::milliseconds time) = 0;
  [[nodiscard]] virtual std::optional<std::string> fatal_error() const = 0;
};

using OnDelivery = std::function<void(const runtime::kafka::Delivery&)>;
using OpenOutlet = std::function<core::Result<std::unique_ptr<Outlet>>(OnDelivery)>;

// A Kafka producer with these options; its on_delivery is replaced.
[[nodiscard]] OpenOutlet kafka_outlet(runtime::kafka::ProducerOptions options);

}  // namespace tally::producer::spool
