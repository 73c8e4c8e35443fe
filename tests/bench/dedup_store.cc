#include "tests/bench/dedup_store.h"

#include "aggregator/dedup/memory.h"
#include "core/check.h"

namespace tally::bench {
namespace {

namespace dedup = aggregator::dedup;

class TallyStore : public DedupStore {
 public:
  explicit TallyStore(const std::filesystem::path& folder)
      : memory_(dedup::MemorySettings{
            .horizon_days = 36, .cache_folder = folder, .deployment = 1, .generation = 1}) {
    memory_.advance(kDay);
    memory_.adopt(kDay - 36, [](const dedup::SegmentToken&) { return true; });
  }
  void insert(const core::DedupEntry& entry) override { memory_.insert(entry, kDay); }
  void spill() override {
    dedup::SegmentToken token;
    token.bytes[0] = std::byte(++spills_);
    memory_.committed(kDay, token);
    TALLY_CHECK(memory_.spill({}), "the disk refused");
  }
  void settle() override {}
  bool remembers(const core::DedupEntry& entry) override {
    return memory_.probe(entry, kDay) != dedup::Seen::kNever;
  }

 private:
  static constexpr dedup::LogDay kDay = 20'000;
  dedup::Memory memory_;
  unsigned spills_ = 0;
};

}  // namespace

std::unique_ptr<DedupStore> open_dedup_store(const std::string& kind,
                                             const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  if (kind == "tally") return std::make_unique<TallyStore>(folder);
  return open_rocksdb_store(folder);
}

}  // namespace tally::bench
