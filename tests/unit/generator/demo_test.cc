// The demo's plan against a slow count of its files: parsed again, sorted into classes by what the
// records say, added up apart from the generator's own books.
#include "tests/support/generator/demo.h"

#include "tests/support/generator/calendar.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <utility>

namespace tally::generator {
namespace {

using nlohmann::json;

constexpr std::int64_t kStart = 1'763'611'200'000'000;  // 2025-11-20T04:00:00Z
constexpr const char* kFirstMoment = "2025-11-20T04:00:00";

class Folder {
 public:
  explicit Folder(const std::string& name)
      : path_(std::filesystem::temp_directory_path() /
              ("tally-generator-" + name + "-" + std::to_string(::getpid()))) {}
  ~Folder() { std::filesystem::remove_all(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

DemoOptions options_for(const Folder& folder, std::uint64_t seed) {
  return {.events = 20'000,
          .seed = seed,
          .start_micros = kStart,
          .tenants = 50,
          .catalogue = TALLY_EXAMPLE_CATALOGUE,
          .out = folder.path()};
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The figures of expected.json, counted from the files. Tokens and megabytes in thousandths.
struct Recount {
  std::map<std::string, std::int64_t> classes;
  std::map<std::string, std::string> first_data;  // identity -> data text
  std::map<std::string, std::int64_t> calls;      // tenant -> count
  std::map<std::string, long double> tokens;      // tenant -> sum
  std::map<std::pair<std::string, std::string>, std::pair<std::string, double>> readings;

  void add_line(const std::string& line);
  void add(const json& event);
  void take(const json& event, const std::string& tenant);
};

bool is_dirty(const json& event) {
  if (event.is_discarded() || !event.contains("id") ||
      event["id"].get<std::string>().size() > 256) {
    return true;
  }
  if (!event["subject"].is_string() || !event["data"].is_object()) return true;
  const std::string time = event["time"];
  if (time[0] != '2' || event["data"].dump().size() > 65'536) return true;
  if (event["type"] != "llm.completion") return false;
  if (!event["data"].contains("tokens") || !event["data"]["tokens"].is_number()) return true;
  const double tokens = event["data"]["tokens"];
  return tokens < 0 || tokens >= 1e18 || std::isinf(tokens) || (tokens > 0 && tokens < 1e-12);
}

void Recount::take(const json& event, const std::string& tenant) {
  const std::string type = event["type"];
  const json& data = event["data"];
  const std::string time = event["time"];
  if (type == "api.request") {
    ++calls[tenant];
  } else if (type == "llm.completion") {
    tokens[tenant] += data["tokens"].get<long double>();
  } else {
    const bool team = type == "team.changed";
    auto& last = readings[{tenant, team ? "members" : data["bucket"].get<std::string>()}];
    EXPECT_NE(time, last.first) << "two readings at one moment";
    if (time > last.first) last = {time, data[team ? "members" : "megabytes"].get<double>()};
  }
}

void Recount::add_line(const std::string& line) {
  std::size_t members = 0;
  for (std::size_t place = line.find(R"("subject":)"); place != std::string::npos;
       place = line.find(R"("subject":)", place + 1)) {
    ++members;
  }
  const json event = json::parse(line, nullptr, false);
  if (members > 1) {
    ++classes["rejected"];
  } else {
    add(event);
  }
}

void Recount::add(const json& event) {
  if (is_dirty(event)) {
    ++classes["rejected"];
    return;
  }
  const std::string type = event["type"];
  if (type == "health.checked") {
    ++classes["unmetered"];
  } else if (event["data"].value("status", "ok") == "error") {
    ++classes["filtered"];
  } else if (const auto known = first_data.find(event["id"]); known != first_data.end()) {
    ++classes[known->second == event["data"].dump() ? "duplicate" : "conflict"];
  } else if (event["time"].get<std::string>() < kFirstMoment) {
    ++classes["late"];
  } else {
    ++classes["counted"];
    first_data[event["id"]] = event["data"].dump();
    take(event, event["subject"]);
  }
}

// Of library.tsv: id, microseconds since 1970, type, tenant and data.
json event_of_fields(const std::string& line) {
  std::array<std::string, 5> fields;
  std::istringstream in(line);
  for (std::string& field : fields) std::getline(in, field, '\t');
  std::string time;
  append_utc(std::stoll(fields[1]), time);
  return {{"id", fields[0]},
          {"time", time},
          {"type", fields[2]},
          {"subject", fields[3]},
          {"data", json::parse(fields[4])}};
}

Recount recount(const std::filesystem::path& folder) {
  Recount count;
  for (const char* name : {"tally.ndjson", "kcat.tsv", "python.ndjson", "http.ndjson"}) {
    std::ifstream file(folder / name, std::ios::binary);
    for (std::string line; std::getline(file, line);) {
      count.add_line(line.substr(line.find('\t') == std::string::npos ? 0 : line.find('\t') + 1));
    }
  }
  std::ifstream file(folder / "library.tsv", std::ios::binary);
  for (std::string line; std::getline(file, line);) count.add(event_of_fields(line));
  return count;
}

TEST(Demo, SameSeedSameBytesOtherSeedOthers) {
  const Folder first("first");
  const Folder second("second");
  const Folder other("other");
  write_demo(options_for(first, 1));
  write_demo(options_for(second, 1));
  write_demo(options_for(other, 2));
  for (const char* name : {"catalogue.json", "tally.ndjson", "kcat.tsv", "python.ndjson",
                           "http.ndjson", "library.tsv", "expected.json"}) {
    EXPECT_EQ(text_of(first.path() / name), text_of(second.path() / name)) << name;
  }
  EXPECT_NE(text_of(first.path() / "tally.ndjson"), text_of(other.path() / "tally.ndjson"));
}

TEST(Demo, ExpectationHoldsAgainstASlowCount) {
  const Folder folder("count");
  write_demo(options_for(folder, 3));
  const json expected = json::parse(text_of(folder.path() / "expected.json"));
  const Recount count = recount(folder.path());
  for (const auto& [name, planned] : expected["classes"].items()) {
    const auto found = count.classes.find(name);
    EXPECT_EQ(found == count.classes.end() ? 0 : found->second, planned.get<std::int64_t>())
        << name;
    EXPECT_GT(planned.get<std::int64_t>(), 0) << name;
  }
  const auto& meters = expected["meters"];
  std::int64_t calls = 0;
  for (const auto& [tenant, amount] : count.calls) calls += amount;
  EXPECT_EQ(std::to_string(calls), meters["api_calls"]["total"].get<std::string>());
  long double tokens = 0;
  for (const auto& [tenant, amount] : count.tokens) {
    if (tenant.starts_with("tenant_")) tokens += amount;
  }
  EXPECT_NEAR(static_cast<double>(tokens),
              std::stod(meters["ai_tokens"]["exportable"].get<std::string>()), 0.01);
  double members = 0;
  double megabytes = 0;
  for (const auto& [series, reading] : count.readings) {
    (series.second == "members" ? members : megabytes) += reading.second;
  }
  EXPECT_NEAR(members, std::stod(meters["team_members"]["total"].get<std::string>()), 1e-6);
  EXPECT_NEAR(megabytes, std::stod(meters["storage_mb"]["total"].get<std::string>()), 1e-2);
}

TEST(Demo, CustomersAddUpToWhatIsExportable) {
  const Folder folder("customers");
  write_demo(options_for(folder, 4));
  const json expected = json::parse(text_of(folder.path() / "expected.json"));
  std::int64_t calls = 0;
  for (const auto& [customer, meters] : expected["customers"].items()) {
    EXPECT_TRUE(customer.starts_with("cus_demo_"));
    calls += std::stoll(meters.value("api_calls", "0"));
  }
  EXPECT_EQ(std::to_string(calls),
            expected["meters"]["api_calls"]["exportable"].get<std::string>());
  EXPECT_NE(expected["meters"]["ai_tokens"]["total"],
            expected["meters"]["ai_tokens"]["exportable"]);
}

TEST(Demo, SaysWhatACatalogueLacks) {
  const Folder folder("lacking");
  std::filesystem::create_directories(folder.path());
  std::ofstream(folder.path() / "empty.json") << R"({"meters":[],"plans":[]})";
  DemoOptions options = options_for(folder, 1);
  options.catalogue = folder.path() / "empty.json";
  try {
    write_demo(options);
    FAIL() << "a catalogue without meters was taken";
  } catch (const std::runtime_error& problem) {
    EXPECT_NE(std::string(problem.what()).find("api_calls"), std::string::npos) << problem.what();
  }
}

}  // namespace
}  // namespace tally::generator
