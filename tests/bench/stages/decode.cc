#include "aggregator/decode.h"

#include "core/check.h"
#include "tests/bench/stages/material.h"
#include "tests/bench/stages/stage.h"
#include "tests/bench/stages/stages.h"

#include <simdjson.h>

#include <cstring>
#include <vector>

namespace tally::bench {
namespace {

using aggregator::Decoder;
using runtime::kafka::Record;

void decode(benchmark::State& state, Records records, const char* baseline) {
  Decoder decoder(*common_material().meters());
  for (const Record& record : records) {
    const auto& event = decoder.decode(record);
    TALLY_CHECK(event.reject == aggregator::RejectReason::kNone, "{}", event.detail);
    TALLY_CHECK(event.plan != nullptr && event.time.has_value());
  }
  Stage stage(state, baseline);
  for ([[maybe_unused]] auto _ : state) {
    for (const Record& record : records) benchmark::DoNotOptimize(decoder.decode(record));
    stage.handled(records.size());
  }
}

// Into one place: what a copy of each record costs.
void copy(benchmark::State& state, Records records) {
  std::vector<char> place(64 * 1024);
  Stage stage(state, kMemcpy);
  for ([[maybe_unused]] auto _ : state) {
    for (const Record& record : records) {
      std::memcpy(place.data(), record.value.data(), record.value.size());
      benchmark::ClobberMemory();
    }
    stage.handled(records.size());
  }
}

// simdjson's whole tree of each record, copied behind padding first, as the decoder has to.
void parse(benchmark::State& state, Records records, const char* name) {
  simdjson::dom::parser parser;
  std::vector<char> padded(64 * 1024);
  Stage stage(state, name);
  for ([[maybe_unused]] auto _ : state) {
    for (const Record& record : records) {
      std::memcpy(padded.data(), record.value.data(), record.value.size());
      std::memset(padded.data() + record.value.size(), 0, simdjson::SIMDJSON_PADDING);
      simdjson::dom::element element;
      TALLY_CHECK(!parser.parse(padded.data(), record.value.size(), false).get(element));
      benchmark::DoNotOptimize(element);
    }
    stage.handled(records.size());
  }
}

Records structured() { return one_poll(common_material().structured()); }
Records binary() { return one_poll(common_binary().records()); }

}  // namespace

void add_baselines() {
  benchmark::RegisterBenchmark("baseline/memcpy", [](auto& state) { copy(state, structured()); });
  benchmark::RegisterBenchmark("baseline/dom_parse",
                               [](auto& state) { parse(state, structured(), kDomParse); });
  benchmark::RegisterBenchmark("baseline/dom_parse_data",
                               [](auto& state) { parse(state, binary(), kDomParseData); });
}

void add_decode() {
  benchmark::RegisterBenchmark("decode/structured",
                               [](auto& state) { decode(state, structured(), kDomParse); });
  benchmark::RegisterBenchmark("decode/binary",
                               [](auto& state) { decode(state, binary(), kDomParseData); });
}

}  // namespace tally::bench
