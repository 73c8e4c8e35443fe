// A random stream, folded straight and in batches of random sizes, must give what an obvious model
// gives: nlohmann's parser, a std::map of identities and integer arithmetic.
#include "tests/unit/aggregator/fold_bench.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <map>
#include <random>
#include <regex>
#include <tuple>

namespace tally::aggregator {
namespace {

using nlohmann::json;

constexpr std::int64_t kSecond = 1'000'000;

struct StreamRecord {
  std::string value;
  std::int64_t log_micros = 0;
};

class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}

  StreamRecord next() {
    clock_ += static_cast<std::int64_t>(random_() % 4'000) * 1'000;
    if (one_in(400)) clock_ += 86'400 * kSecond;
    json event = {{"specversion", "1.0"},
                  {"id", fmt::format("r{}", random_() % 1'500)},
                  {"source", one_in(10) ? "web" : "api"},
                  {"type", pick({"llm", "llm", "llm", "team", "email"})},
                  {"subject", pick({"acme", "bolt", "cog"})},
                  {"data", data()}};
    if (!one_in(3)) event["time"] = time();
    // A decimal's own digits, which nlohmann cannot hold as a number: the quotes go after the dump.
    std::string text = std::regex_replace(event.dump(), std::regex(R"re("(\d+\.\d{4})")re"), "$1");
    if (one_in(60)) text.resize(random_() % text.size());
    if (one_in(80)) text.insert(text.size() - 1, R"(,"id":"again")");
    return {text, clock_};
  }

 private:
  bool one_in(std::uint64_t n) { return random_() % n == 0; }
  const char* pick(std::initializer_list<const char*> choices) {
    return choices.begin()[random_() % choices.size()];
  }
  std::string time() {
    std::int64_t micros = clock_ - static_cast<std::int64_t>(random_() % 7'200) * kSecond;
    if (one_in(20))
      micros = clock_ - (34 * 86'400 + static_cast<std::int64_t>(random_() % 172'800)) * kSecond;
    if (one_in(20)) micros = clock_ + (290 + static_cast<std::int64_t>(random_() % 20)) * kSecond;
    return core::to_rfc3339(core::Timestamp::from_micros(micros));
  }
  json data() {
    json data = {{"model", pick({"a", "b"})}, {"status", pick({"ok", "ok", "ok", "error"})}};
    const auto units = static_cast<std::int64_t>(random_() % 3);
    if (one_in(2)) data["tokens"] = units;
    if (!data.contains("tokens")) data["tokens"] = fmt::format("{}.{:04}", units, random_() % 3);
    if (one_in(25)) data["tokens"] = pick({"ten", "5", "1e30", ""});
    if (one_in(25)) data.erase("tokens");
    if (!one_in(10)) data["seats"] = static_cast<std::int64_t>(random_() % 2);
    return data;
  }
  std::mt19937_64 random_;
  std::int64_t clock_ = kBenchDaySeconds * kSecond;
};

std::vector<core::Meter> stream_meters() {
  return {grouped(where(sum_meter("tokens", "llm", "tokens"), "status", core::FilterKind::kIn,
                        {std::string("ok")}),
                  {"model"}),
          count_meter("calls", "llm"), latest_meter("seats", "team", "seats")};
}

// In units of 10^-4; nullopt: a meter refuses it.
std::optional<std::int64_t> model_units(const json& data, const char* member) {
  const auto found = data.find(member);
  if (found == data.end()) return std::nullopt;
  if (found->is_number_integer()) return found->get<std::int64_t>() * 10'000;
  if (!found->is_number()) return std::nullopt;
  return std::llround(found->get<double>() * 10'000);  // exact here: small, and four decimals
}

// What finance would work out by hand.
struct Model {
  std::map<std::string, std::int64_t> classes;
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> sums;  // place -> units, events
  std::map<std::string, std::int64_t> gauge_events;
  std::map<std::string, std::pair<std::int64_t, std::vector<std::int64_t>>> gauges;
  std::map<std::tuple<std::string, std::string, std::string, std::string>,
           std::pair<std::int64_t, std::string>>
      seen;  // identity -> day, content

  void take(const StreamRecord& record);
  std::string class_of(const StreamRecord& record);
  void count(const json& event, std::int64_t micros);
};

std::int64_t micros_of(const json& event, std::int64_t log_micros) {
  return event.contains("time")
             ? core::parse_rfc3339(event["time"].get<std::string>()).value().micros()
             : log_micros;
}

void Model::take(const StreamRecord& record) { ++classes[class_of(record)]; }

std::string Model::class_of(const StreamRecord& record) {
  const json event = json::parse(record.value, nullptr, false);
  if (event.is_discarded() || record.value.find("again") != std::string::npos) return "rejected";
  const std::int64_t micros = micros_of(event, record.log_micros);
  if (micros > record.log_micros + 300 * kSecond) return "rejected";
  const json& data = event["data"];
  const std::string type = event["type"];
  if (type == "email") return "unmetered";
  std::string content;
  if (type == "team") {
    const auto seats = model_units(data, "seats");
    if (!seats) return "rejected";
    content = fmt::format("seats {}", *seats);
  } else {
    content = "call";  // the counter always takes it
    const auto tokens = model_units(data, "tokens");
    if (data["status"] == "ok" && tokens) {
      content += fmt::format(" tokens {} {}", *tokens, data["model"].get<std::string>());
    }
  }
  const auto identity =
      std::make_tuple(event["subject"].get<std::string>(), event["source"].get<std::string>(), type,
                      event["id"].get<std::string>());
  const std::int64_t day = record.log_micros / kSecond / 86'400;
  const auto found = seen.find(identity);
  if (found != seen.end() && found->second.first >= day - 36) {
    return found->second.second == content ? "duplicate" : "conflict";
  }
  if (micros < record.log_micros - 35 * 86'400 * kSecond) return "late";
  seen[identity] = {day, content};
  count(event, micros);
  return "counted";
}

void Model::count(const json& event, std::int64_t micros) {
  const json& data = event["data"];
  const auto place = [&](const char* meter, const std::string& dimensions) {
    return fmt::format("{} {} {} {}", event["subject"].get<std::string>(), meter,
                       micros / kSecond / 3'600, dimensions);
  };
  const auto add = [&](const std::string& where, std::int64_t units) {
    sums[where].first += units;
    ++sums[where].second;
  };
  if (event["type"] == "team") {
    auto& [newest, readings] = gauges[place("seats", "{}")];
    if (micros > newest) readings.clear();
    if (micros >= newest) readings.push_back(*model_units(data, "seats"));
    newest = std::max(newest, micros);
    ++gauge_events[place("seats", "{}")];
    return;
  }
  add(place("calls", "{}"), 10'000);
  const auto tokens = model_units(data, "tokens");
  if (data["status"] == "ok" && tokens) {
    add(place("tokens", fmt::format(R"({{"model":"{}"}})", data["model"].get<std::string>())),
        *tokens);
  }
}

// The same sums, out of committed plans.
struct Totals {
  std::map<std::string, std::int64_t> classes;
  std::map<std::string, std::pair<core::Int128, std::int64_t>> sums;
  std::map<std::string, core::GaugeReading> gauges;

  void commit(const BatchPlan& plan);
};

void Totals::commit(const BatchPlan& plan) {
  check_conservation(plan);
  const auto place = [&](const WindowKey& key) {
    return fmt::format("{} {} {} {}", key.tenant(), plan.meters->meters()[key.meter].slug,
                       key.start_seconds / 3'600, key.dimensions());
  };
  for (const auto& [where, line] : plan.ledger) {
    for (const auto& [name, value] :
         {std::pair{"rejected", line.rejected}, std::pair{"unmetered", line.unmetered},
          std::pair{"filtered", line.filtered}, std::pair{"duplicate", line.duplicate},
          std::pair{"conflict", line.conflict}, std::pair{"late", line.late},
          std::pair{"counted", line.counted}}) {
      if (value != 0) classes[name] += value;
    }
  }
  for (const auto& [key, delta] : plan.totals.usage) {
    sums[place(key)].first += delta.quantity.units();
    sums[place(key)].second += delta.events;
  }
  for (const auto& [key, reading] : plan.totals.gauges) gauges[place(key)].merge(reading);
}

void expect_equal(const Totals& totals, const Model& model) {
  EXPECT_EQ(totals.classes, model.classes);
  ASSERT_EQ(totals.sums.size(), model.sums.size());
  for (const auto& [place, expected] : model.sums) {
    const auto found = totals.sums.find(place);
    ASSERT_NE(found, totals.sums.end()) << place;
    // 10^-4 units against 10^-12 units
    EXPECT_TRUE(found->second.first == core::Int128{expected.first} * 100'000'000) << place;
    EXPECT_EQ(found->second.second, expected.second) << place;
  }
  ASSERT_EQ(totals.gauges.size(), model.gauges.size());
  for (const auto& [place, expected] : model.gauges) {
    const core::GaugeReading& got = totals.gauges.at(place);
    EXPECT_EQ(got.read_at.micros(), expected.first) << place;
    EXPECT_EQ(got.events, model.gauge_events.at(place)) << place;
    const bool is_one_of_the_newest =
        std::any_of(expected.second.begin(), expected.second.end(), [&](std::int64_t units) {
          return got.reading.units() == core::Int128{units} * 100'000'000;
        });
    EXPECT_TRUE(is_one_of_the_newest) << place;
  }
}

TEST(Stream, EqualsAnObviousModelHoweverItIsCutIntoBatches) {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Generator generator(seed);
    std::vector<StreamRecord> stream;
    for (int i = 0; i < 6'000; ++i) stream.push_back(generator.next());
    Model model;
    for (const StreamRecord& record : stream) model.take(record);
    for (const char* name : {"counted", "duplicate", "conflict", "late", "rejected", "unmetered"}) {
      EXPECT_GT(model.classes[name], 20) << name;
    }

    std::map<std::string, std::string> readings;
    std::mt19937_64 random(seed);
    for (const std::size_t largest :
         {stream.size(), std::size_t{1}, std::size_t{7}, std::size_t{900}}) {
      SCOPED_TRACE(fmt::format("batches up to {}", largest));
      FoldBench bench(stream_meters());
      Totals totals;
      std::size_t left = largest;
      for (const StreamRecord& record : stream) {
        bench.add(record.value, core::Timestamp::from_micros(record.log_micros));
        if (--left != 0) continue;
        totals.commit(bench.plan);
        bench.start_new_plan();
        left = 1 + random() % largest;
      }
      if (!bench.plan.empty()) totals.commit(bench.plan);
      expect_equal(totals, model);
      // Ties of the newest reading break alike in every cut.
      for (const auto& [place, gauge] : totals.gauges) {
        const auto [found, fresh] = readings.try_emplace(place, gauge.reading.to_string());
        EXPECT_EQ(found->second, gauge.reading.to_string()) << place;
      }
    }
  }
}

}  // namespace
}  // namespace tally::aggregator
