#include "tests/simulation/sim_database.h"

#include "core/check.h"

#include <algorithm>

namespace tally::simulation {

namespace {
constexpr std::int64_t kIdleLimitUs = 5'000'000;
}

SimDatabase::Handle SimDatabase::begin(std::int64_t now_us, std::string client) {
  auto transaction = std::make_shared<Transaction>();
  transaction->number = next_transaction_++;
  transaction->snapshot = commits_;
  transaction->last_active_us = now_us;
  transaction->client = std::move(client);
  open_.push_back(transaction);
  return transaction;
}

bool SimDatabase::try_lock(const Handle& transaction, const LockKey& key, LockMode mode) {
  auto& holders = locks_[key];
  for (const auto& [holder, held] : holders) {
    if (holder == transaction->number) continue;
    if (mode == LockMode::kExclusive || held == LockMode::kExclusive) return false;
  }
  LockMode& own = holders.try_emplace(transaction->number, mode).first->second;
  own = std::max(own, mode);
  return true;
}

void SimDatabase::commit(const Handle& transaction) {
  TALLY_CHECK(transaction->alive);
  ++commits_;
  for (const auto& write : transaction->writes) write(tables_, commits_);
  end(transaction);
}

void SimDatabase::rollback(const Handle& transaction) {
  if (transaction->alive) end(transaction);
}

void SimDatabase::end(const Handle& transaction) {
  transaction->alive = false;
  for (auto entry = locks_.begin(); entry != locks_.end();) {
    entry->second.erase(transaction->number);
    entry = entry->second.empty() ? locks_.erase(entry) : std::next(entry);
  }
  std::erase(open_, transaction);
}

std::size_t SimDatabase::kill_idle(std::int64_t now_us) {
  std::size_t killed = 0;
  if (std::none_of(open_.begin(), open_.end(), [&](const Handle& transaction) {
        return now_us - transaction->last_active_us >= kIdleLimitUs;
      })) {
    return 0;
  }
  for (const Handle& transaction : std::vector<Handle>(open_)) {
    if (now_us - transaction->last_active_us < kIdleLimitUs) continue;
    rollback(transaction);
    ++killed;
  }
  return killed;
}

bool SimDatabase::has_open(std::string_view client) const {
  return std::any_of(open_.begin(), open_.end(),
                     [&](const Handle& transaction) { return transaction->client == client; });
}

void SimDatabase::kill_all() {
  ++downs_;
  for (const Handle& transaction : std::vector<Handle>(open_)) rollback(transaction);
}

}  // namespace tally::simulation
