#include "producer/spool/outlet.h"

#include <utility>

namespace tally::producer::spool {
namespace {

class KafkaOutlet final : public Outlet {
 public:
  explicit KafkaOutlet(std::unique_ptr<runtime::kafka::Producer> producer)
      : producer_(std::move(producer)) {}
  runtime::kafka::Enqueued produce(std::string_view key, std::string_view value,
                                   std::uint64_t tag) override {
    return producer_->produce(key, value, tag);
  }
  void wait_for_room(std::chrono::milliseconds time) override { producer_->wait_for_room(time); }
  std::size_t flush(std::chrono::milliseconds time) override { return producer_->flush(time); }
  [[nodiscard]] std::optional<std::string> fatal_error() const override {
    return producer_->fatal_error();
  }

 private:
  std::unique_ptr<runtime::kafka::Producer> producer_;
};

}  // namespace

OpenOutlet kafka_outlet(runtime::kafka::ProducerOptions options) {
  return [options =
              std::move(options)](OnDelivery on_delivery) -> core::Result<std::unique_ptr<Outlet>> {
    auto wanted = options;
    wanted.reports = runtime::kafka::Reports::kEveryMessage;
    wanted.on_delivery = std::move(on_delivery);
    auto producer = runtime::kafka::Producer::open(std::move(wanted));
    if (!producer) return producer.error();
    return std::unique_ptr<Outlet>(std::make_unique<KafkaOutlet>(std::move(producer.value())));
  };
}

}  // namespace tally::producer::spool
