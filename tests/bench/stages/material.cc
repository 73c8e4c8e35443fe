#include "tests/bench/stages/material.h"

#include "core/catalogue.h"
#include "core/check.h"
#include "tests/support/generator/bench_stream.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace tally::bench {
namespace {

using runtime::kafka::Header;
using runtime::kafka::LogTimeKind;
using runtime::kafka::Record;

constexpr std::int64_t kStartSeconds = 1'772'323'200;  // 2026-03-01T00:00:00Z
constexpr std::int64_t kLogTimeMs = (kStartSeconds + 86'400) * 1'000;
constexpr std::array<std::string_view, 6> kAttributes = {"specversion", "id",      "source",
                                                         "type",        "subject", "time"};
constexpr std::array<std::string_view, 6> kHeaders = {"ce_specversion", "ce_id",      "ce_source",
                                                      "ce_type",        "ce_subject", "ce_time"};
constexpr std::string_view kData = R"("data":)";

std::shared_ptr<const aggregator::TenantBook> book_of(const std::vector<core::Tenant>& tenants) {
  aggregator::TenantBook::Calendars calendars;
  for (const core::Tenant& tenant : tenants) calendars.try_emplace(tenant.id);
  return std::make_shared<const aggregator::TenantBook>(std::move(calendars));
}

}  // namespace

Material::Material(const Workload& workload) {
  const generator::BenchStream stream({.records = 12'000'000,
                                       .tenants = workload.tenants,
                                       .dimensions = workload.dimensions,
                                       .start_micros = kStartSeconds * 1'000'000});
  catalogue_ = stream.catalogue().dump();
  auto catalogue = core::parse_catalogue(catalogue_);
  TALLY_CHECK(catalogue.has_value(), "{}", catalogue.error().message);
  tenants_ = book_of(catalogue.value().tenants);
  meters_ = std::make_shared<const aggregator::MeterSet>(
      std::move(catalogue.value().meters), core::CatalogueVersion(1), core::CatalogueVersion(1));

  texts_.reserve(workload.events);
  generator::BenchRecord made;
  generator::BenchSums sums;
  for (std::int64_t number = 0; texts_.size() < workload.events; ++number) {
    const std::int64_t copies = sums.duplicates;
    stream.make(number, made, sums);
    if (sums.duplicates == copies) texts_.push_back(made.text);
  }
  structured_.reserve(texts_.size());
  for (const std::string& text : texts_) {
    Record record;
    record.offset = static_cast<std::int64_t>(structured_.size());
    record.log_time_ms = kLogTimeMs;
    record.log_time_kind = LogTimeKind::kLogAppendTime;
    record.value = text;
    structured_.push_back(record);
  }
}

BinaryRecords::BinaryRecords(Records structured) {
  bytes_.reserve(structured.size());
  headers_.reserve(structured.size() * kHeaders.size());
  records_.reserve(structured.size());
  for (const Record& record : structured) {
    const auto event = nlohmann::json::parse(record.value);
    // The generator ends an event with its data: the bytes themselves, not a copy of their meaning.
    std::string_view data = record.value;
    data.remove_prefix(data.find(kData) + kData.size());
    data.remove_suffix(1);
    std::string bytes(data);
    for (std::size_t i = 0; i < kHeaders.size(); ++i) {
      bytes += kHeaders.at(i);
      bytes += event.at(kAttributes.at(i)).get_ref<const std::string&>();
    }
    bytes_.push_back(std::move(bytes));

    std::string_view left = bytes_.back();
    const auto next = [&left](std::size_t length) {
      const std::string_view text = left.substr(0, length);
      left.remove_prefix(length);
      return text;
    };
    Record binary = record;
    binary.value = next(data.size());
    const std::size_t first = headers_.size();
    for (std::size_t i = 0; i < kHeaders.size(); ++i) {
      const std::string_view name = next(kHeaders.at(i).size());
      headers_.push_back(
          {name, next(event.at(kAttributes.at(i)).get_ref<const std::string&>().size())});
    }
    binary.headers = std::span<const Header>(headers_).subspan(first);
    records_.push_back(binary);
  }
}

const Material& common_material() {
  static const Material material{Workload{}};
  return material;
}

const BinaryRecords& common_binary() {
  static const BinaryRecords binary(common_material().structured());
  return binary;
}

std::string_view header_of(const Record& record, std::string_view name) {
  const auto found = std::find_if(record.headers.begin(), record.headers.end(),
                                  [&](const Header& header) { return header.name == name; });
  TALLY_CHECK(found != record.headers.end(), "no header {}", name);
  return found->value;
}

const core::IdentityHasher& common_hasher() {
  static const core::IdentityHasher hasher([] {
    core::IdentityHasher::Key key{};
    for (std::size_t i = 0; i < key.size(); ++i) key.at(i) = std::byte(i * 37 + 11);
    return key;
  }());
  return hasher;
}

}  // namespace tally::bench
