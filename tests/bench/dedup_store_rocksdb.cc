// RocksDB set up for this work as well as it can be: no log, no compression (the keys are random),
// the same ten filter bits an entry, filters and indexes in memory, a small block cache, pread,
// tiered compaction.
// Without librocksdb-dev it opens nothing.
#include "tests/bench/dedup_store.h"

#if __has_include(<rocksdb/db.h>)

#include "core/check.h"

#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <array>
#include <cstring>

namespace tally::bench {
namespace {

void check(const rocksdb::Status& status) {
  TALLY_CHECK(status.ok(), "rocksdb: {}", status.ToString());
}

rocksdb::Options options() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = rocksdb::kNoCompression;
  options.compaction_style = rocksdb::kCompactionStyleUniversal;
  options.write_buffer_size = std::size_t{64} << 20U;
  options.max_open_files = -1;
  options.max_background_jobs = 2;
  rocksdb::BlockBasedTableOptions table;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_cache = rocksdb::NewLRUCache(std::size_t{8} << 20U);
  table.cache_index_and_filter_blocks = false;
  table.format_version = 5;
  table.data_block_index_type = rocksdb::BlockBasedTableOptions::kDataBlockBinaryAndHash;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

class RocksdbStore : public DedupStore {
 public:
  explicit RocksdbStore(const std::filesystem::path& folder) {
    rocksdb::DB* database = nullptr;
    check(rocksdb::DB::Open(options(), folder.string(), &database));
    database_.reset(database);
    write_.disableWAL = true;
  }
  void insert(const core::DedupEntry& entry) override {
    const Key key = key_of(entry);
    const std::array<char, 3> value{36, static_cast<char>(entry.lo >> 8U),
                                    static_cast<char>(entry.lo)};
    check(database_->Put(write_, slice(key), rocksdb::Slice(value.data(), value.size())));
  }
  void spill() override { check(database_->Flush(rocksdb::FlushOptions())); }
  void settle() override { rocksdb::CancelAllBackgroundWork(database_.get(), true); }
  bool remembers(const core::DedupEntry& entry) override {
    const Key key = key_of(entry);
    const rocksdb::Status status =
        database_->Get(read_, database_->DefaultColumnFamily(), slice(key), &value_);
    value_.Reset();
    if (status.IsNotFound()) return false;
    check(status);
    return true;
  }

 private:
  // Digest first, as tally orders them; the fourteen bytes of the identity.
  using Key = std::array<char, 14>;
  static Key key_of(const core::DedupEntry& entry) {
    const std::uint64_t digest =
        __builtin_bswap64(entry.hi << core::kHomeBits | entry.lo >> (64 - core::kHomeBits));
    const std::uint64_t rest = (entry.hi >> 33U) << 17U | (entry.lo >> 16U & 0x1ffffU);
    Key key;
    std::memcpy(key.data(), &digest, 8);
    std::memcpy(key.data() + 8, &rest, 6);
    return key;
  }
  static rocksdb::Slice slice(const Key& key) { return {key.data(), key.size()}; }

  std::unique_ptr<rocksdb::DB> database_;
  rocksdb::WriteOptions write_;
  rocksdb::ReadOptions read_;
  rocksdb::PinnableSlice value_;
};

}  // namespace

std::unique_ptr<DedupStore> open_rocksdb_store(const std::filesystem::path& folder) {
  return std::make_unique<RocksdbStore>(folder);
}

}  // namespace tally::bench

#else

namespace tally::bench {

std::unique_ptr<DedupStore> open_rocksdb_store(const std::filesystem::path&) { return nullptr; }

}  // namespace tally::bench

#endif
