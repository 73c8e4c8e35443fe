#include "tests/support/generator/demo.h"

#include "runtime/terminal/progress.h"
#include "tests/support/generator/dirt.h"
#include "tests/support/generator/event_text.h"
#include "tests/support/generator/random.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <set>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <utility>

namespace tally::generator {
namespace {

using nlohmann::ordered_json;

constexpr std::int64_t kDayMicros = kDaySeconds * kMicrosPerSecond;
constexpr std::int64_t kLateMicros = 40 * kDayMicros;
constexpr std::int64_t kJitterMicros = 300 * kMicrosPerSecond;
constexpr std::uint64_t kFarRecords = 100'000;  // how far apart copies may be
constexpr int kStrangers = 5;                   // tenants the catalogue does not know

constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kMeters = {{
    {"api_calls", "api.request"},
    {"ai_tokens", "llm.completion"},
    {"team_members", "team.changed"},
    {"storage_mb", "storage.measured"},
}};
constexpr std::array<std::string_view, 6> kZones = {
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Europe/London", "UTC"};
constexpr std::array<std::string_view, 4> kModels = {"small", "medium", "large", "embedding"};
constexpr std::array<std::string_view, 3> kBuckets = {"documents", "images", "backups"};
constexpr std::array<std::string_view, 4> kPaths = {"/v1/chat", "/v1/search", "/v1/files",
                                                    "/v1/embeddings"};

enum class Kind { kRequest, kCompletion, kTeam, kStorage };

struct Draft {
  Event event;
  Kind kind = Kind::kRequest;
  Wide thousandths = 0;
  std::string dimension;
};

std::string tenant_name(int number) { return fmt::format("tenant_{:04}", number); }

// One client's file. Copies of earlier records wait until their place has come.
class Output {
 public:
  enum class Form {
    kLines,
    kKeyed,   // id, tab, text
    kFields,  // id, microseconds since 1970, type, tenant and data with tabs between them
  };
  Output(std::filesystem::path path, Form form)
      : path_(std::move(path)), form_(form), stream_(path_, std::ios::binary | std::ios::trunc) {
    if (!stream_) throw std::runtime_error(fmt::format("{}: cannot be written", path_.string()));
  }
  // `text` is the event's, or a spoiled one.
  void write(const Event& event, std::string_view text) {
    put(line_of(event, text));
    while (!waiting_.empty() && waiting_.begin()->first <= records_) {
      const auto due = waiting_.extract(waiting_.begin());
      put(due.mapped());
    }
  }
  void write_later(std::uint64_t distance, const Event& event, std::string_view text) {
    waiting_.emplace(records_ + static_cast<std::int64_t>(distance), line_of(event, text));
  }
  void finish() {
    for (const auto& [place, line] : waiting_) put(line);
    waiting_.clear();
    stream_.close();
    if (!stream_) throw std::runtime_error(fmt::format("{}: writing failed", path_.string()));
  }
  [[nodiscard]] std::int64_t records() const { return records_; }
  [[nodiscard]] std::string name() const { return path_.filename().string(); }

 private:
  [[nodiscard]] std::string line_of(const Event& event, std::string_view text) const {
    switch (form_) {
      case Form::kKeyed:
        return fmt::format("{}\t{}\n", event.id, text);
      case Form::kFields:
        return fmt::format("{}\t{}\t{}\t{}\t{}\n", event.id, event.time_micros, event.type,
                           event.subject, event.data);
      case Form::kLines:
        break;
    }
    return fmt::format("{}\n", text);
  }
  void put(std::string_view line) {
    stream_ << line;
    ++records_;
  }
  std::filesystem::path path_;
  Form form_;
  std::ofstream stream_;
  std::int64_t records_ = 0;
  std::multimap<std::int64_t, std::string> waiting_;  // lines, by their place
};

ordered_json read_catalogue(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error(
        fmt::format("{}: cannot be read; name the example catalogue with "
                    "--catalogue",
                    path.string()));
  }
  ordered_json catalogue = ordered_json::parse(file, nullptr, false);
  if (!catalogue.is_object() || !catalogue.contains("meters") || !catalogue.contains("plans")) {
    throw std::runtime_error(
        fmt::format("{}: not a catalogue: it needs meters and plans", path.string()));
  }
  for (const auto& [slug, type] : kMeters) {
    const auto& meters = catalogue["meters"];
    const bool found = std::any_of(meters.begin(), meters.end(), [&](const ordered_json& meter) {
      return meter.value("slug", "") == slug && meter.value("event_type", "") == type;
    });
    if (!found) {
      throw std::runtime_error(
          fmt::format("{}: has no meter {} over {}: the demo's stream is "
                      "about it",
                      path.string(), slug, type));
    }
  }
  return catalogue;
}

class Demo {
 public:
  explicit Demo(const DemoOptions& options)
      : options_(options),
        random_(scatter(options.seed)),
        outputs_{{{options.out / "tally.ndjson", Output::Form::kLines},
                  {options.out / "kcat.tsv", Output::Form::kKeyed},
                  {options.out / "python.ndjson", Output::Form::kLines},
                  {options.out / "http.ndjson", Output::Form::kLines},
                  {options.out / "library.tsv", Output::Form::kFields}}} {}
  Expectation run();

 private:
  void write_catalogue();
  void write_unique(std::int64_t index);
  void write_besides(std::int64_t index);
  [[nodiscard]] Draft draft(std::int64_t index, Kind kind);
  void draft_data(Draft& draft, std::string_view status);
  [[nodiscard]] Kind any_kind();
  [[nodiscard]] std::int64_t time_of(std::int64_t index);
  [[nodiscard]] std::string amount_text(Wide thousandths);
  [[nodiscard]] std::uint64_t distance();
  Output& any_output();
  void count(const Draft& draft);

  static constexpr std::size_t kTally = 0;
  static constexpr std::size_t kKcat = 1;
  static constexpr std::size_t kPython = 2;
  static constexpr std::size_t kHttp = 3;
  static constexpr std::size_t kLibrary = 4;
  const DemoOptions& options_;
  Random random_;
  std::array<Output, 5> outputs_;
  Expectation expected_;
  std::set<std::tuple<std::string, std::string, std::int64_t>> reading_times_;
  std::size_t dirt_ = 0;
  bool whole_tokens_ = true;  // the catalogue's mapping exports no fraction of a token
};

Kind Demo::any_kind() {
  const std::uint64_t dice = random_.below(100);
  if (dice < 56) return Kind::kRequest;
  if (dice < 90) return Kind::kCompletion;
  return dice < 95 ? Kind::kTeam : Kind::kStorage;
}

Output& Demo::any_output() {
  constexpr std::array kShares = {kTally, kTally, kKcat, kPython, kHttp, kHttp, kLibrary, kLibrary};
  return outputs_[kShares[random_.below(kShares.size())]];
}

// Along the day, five minutes of disorder either way, never outside of it.
std::int64_t Demo::time_of(std::int64_t index) {
  const std::int64_t along = kDayMicros / options_.events * index;
  const auto jitter = static_cast<std::int64_t>(random_.below(2 * kJitterMicros)) - kJitterMicros;
  return options_.start_micros + std::clamp<std::int64_t>(along + jitter, 0, kDayMicros - 1);
}

// The same number written in the ways that JSON allows.
std::string Demo::amount_text(Wide thousandths) {
  switch (random_.below(16)) {
    case 0:
      return fmt::format("{}e-3", static_cast<std::int64_t>(thousandths));
    case 1:
      return fmt::format("{}.{:03}", static_cast<std::int64_t>(thousandths / 1'000),
                         static_cast<std::int64_t>(thousandths % 1'000));
    case 2:
      return fmt::format("{}E-4", static_cast<std::int64_t>(thousandths * 10));
    default:
      return thousandths_text(thousandths);
  }
}

// Half of the copies come soon, within what is still in flight; half come long after.
std::uint64_t Demo::distance() {
  if (random_.below(2) == 0) return 1 + random_.below(200);
  return 1 + kFarRecords / 2 + random_.below(kFarRecords / 2);
}

void Demo::draft_data(Draft& made, std::string_view status) {
  const std::string key =
      fmt::format("key_{}_{}", made.event.subject.substr(7), 1 + random_.below(3));
  switch (made.kind) {
    case Kind::kRequest:
      made.event.data =
          fmt::format(R"({{"api_key":"{}","status":"{}","path":"{}","latency_ms":{}}})", key,
                      status, kPaths[random_.below(kPaths.size())], 1 + random_.below(900));
      break;
    case Kind::kCompletion: {
      made.thousandths = static_cast<Wide>(1 + random_.below(4'000)) * 1'000;
      if (random_.below(4) == 0 && !whole_tokens_)
        made.thousandths += static_cast<Wide>(random_.below(1'000));
      const auto model = kModels[random_.below(kModels.size())];
      made.event.data = fmt::format(R"({{"tokens":{},"model":"{}","api_key":"{}","status":"{}"}})",
                                    amount_text(made.thousandths), model, key, status);
      break;
    }
    case Kind::kTeam:
      made.thousandths = static_cast<Wide>(1 + random_.below(250)) * 1'000;
      made.event.data =
          fmt::format(R"({{"members":{}}})", static_cast<int>(made.thousandths / 1'000));
      break;
    case Kind::kStorage:
      made.thousandths = static_cast<Wide>(random_.below(50'000'000));
      made.dimension = kBuckets[random_.below(kBuckets.size())];
      made.event.data = fmt::format(R"({{"megabytes":{},"bucket":"{}"}})",
                                    amount_text(made.thousandths), made.dimension);
      break;
  }
}

Draft Demo::draft(std::int64_t index, Kind kind) {
  Draft made;
  made.kind = kind;
  append_id(random_.next(), random_.next(), made.event.id);
  made.event.type = kMeters[static_cast<std::size_t>(kind)].second;
  // Every tenant has its turn; the lower numbers have more of it.
  const auto tenants = static_cast<std::uint64_t>(options_.tenants);
  const std::uint64_t pick = random_.below(4) == 0 ? static_cast<std::uint64_t>(index) % tenants
                                                   : random_.below(1 + random_.below(tenants));
  made.event.subject = tenant_name(1 + static_cast<int>(pick));
  made.event.time_micros = time_of(index);
  draft_data(made, "ok");
  return made;
}

void Demo::count(const Draft& counted) {
  expected_.add_record(Class::kCounted);
  const Event& event = counted.event;
  const auto meter = kMeters[static_cast<std::size_t>(counted.kind)].first;
  switch (counted.kind) {
    case Kind::kRequest:
      expected_.add_to_counter(event.subject, meter, 1'000);
      break;
    case Kind::kCompletion:
      expected_.add_to_counter(event.subject, meter, counted.thousandths);
      break;
    case Kind::kTeam:
    case Kind::kStorage:
      expected_.add_reading(event.subject, meter, counted.dimension, event.time_micros,
                            counted.thousandths);
      break;
  }
}

void Demo::write_unique(std::int64_t index) {
  const bool conflicts = index % 500 == 263;
  Draft made = draft(index, conflicts ? Kind::kCompletion : any_kind());
  Output* output = &any_output();
  if (index % 2'500 == 77) {
    // An unknown tenant, and an amount that a double cannot hold.
    made.kind = Kind::kCompletion;
    made.event.type = kMeters[1].second;
    made.event.subject = fmt::format("strange_{}", random_.below(kStrangers));
    made.thousandths = static_cast<Wide>(900'719'925'474'099'300 + random_.below(1'000'000));
    made.event.data =
        fmt::format(R"({{"tokens":{},"model":"large","api_key":"key_x","status":"ok"}})",
                    thousandths_text(made.thousandths));
    output = &outputs_[random_.below(2) == 0 ? kTally : kKcat];
  }
  // The last reading of a series must be one: no two at the same moment.
  if (made.kind == Kind::kTeam || made.kind == Kind::kStorage) {
    while (!reading_times_
                .emplace(made.event.subject, made.dimension + std::string(made.event.type),
                         made.event.time_micros)
                .second) {
      made.event.time_micros = time_of(index);
    }
  }
  std::string text;
  append_event(made.event, text);
  count(made);
  output->write(made.event, text);
  if (index % 50 == 7) {
    expected_.add_record(Class::kDuplicate);
    output->write_later(distance(), made.event, text);
  } else if (index % 500 == 13) {
    expected_.add_record(Class::kDuplicate);
    made.event.time_micros = std::min(made.event.time_micros + 30 * kMicrosPerSecond +
                                          static_cast<std::int64_t>(random_.below(kJitterMicros)),
                                      options_.start_micros + kDayMicros - 1);
    text.clear();
    append_event(made.event, text);
    output->write_later(distance(), made.event, text);
  } else if (conflicts) {
    expected_.add_record(Class::kConflict);
    made.event.data =
        fmt::format(R"({{"tokens":{},"model":"small","api_key":"key_c","status":"ok"}})",
                    thousandths_text(made.thousandths + 1'000));
    text.clear();
    append_event(made.event, text);
    output->write_later(distance(), made.event, text);
  }
}

void Demo::write_besides(std::int64_t index) {
  std::string text;
  if (index % 500 == 101) {
    Draft late = draft(index, any_kind());
    late.event.time_micros -= kLateMicros;
    append_event(late.event, text);
    expected_.add_record(Class::kLate);
    any_output().write(late.event, text);
  } else if (index % 500 == 151) {
    Draft spoiled = draft(index, Kind::kCompletion);
    text = dirty_text(spoiled.event, dirt_++);
    expected_.add_record(Class::kRejected);
    outputs_[kKcat].write(spoiled.event, text);
  } else if (index % 200 == 31) {
    Draft unread = draft(index, Kind::kRequest);
    unread.event.type = "health.checked";
    append_event(unread.event, text);
    expected_.add_record(Class::kUnmetered);
    any_output().write(unread.event, text);
  } else if (index % 200 == 131) {
    Draft failed = draft(index, random_.below(2) == 0 ? Kind::kRequest : Kind::kCompletion);
    draft_data(failed, "error");
    append_event(failed.event, text);
    expected_.add_record(Class::kFiltered);
    any_output().write(failed.event, text);
  }
}

void Demo::write_catalogue() {
  ordered_json catalogue = read_catalogue(options_.catalogue);
  for (const ordered_json& meter : catalogue["meters"]) {
    if (meter.value("slug", "") == kMeters[1].first && meter.contains("stripe")) {
      whole_tokens_ = meter["stripe"].value("decimals", 0) < 3;
    }
  }
  auto tenants = ordered_json::array();
  const auto& plans = catalogue["plans"];
  for (int number = 1; number <= options_.tenants; ++number) {
    const auto place = static_cast<std::size_t>(number);
    const std::string customer = fmt::format("cus_demo_{:04}", number);
    ordered_json tenant = {{"id", tenant_name(number)},
                           {"name", fmt::format("Demo tenant {}", number)},
                           {"time_zone", kZones[place % kZones.size()]}};
    if (!plans.empty()) tenant["plan"] = plans[place % plans.size()].value("slug", "");
    tenant["stripe_customer"] = customer;
    tenants.push_back(std::move(tenant));
    expected_.set_customer(tenant_name(number), customer);
  }
  catalogue["tenants"] = std::move(tenants);
  std::ofstream file(options_.out / "catalogue.json", std::ios::trunc);
  file << catalogue.dump(1) << '\n';
  if (!file) throw std::runtime_error("catalogue.json: cannot be written");
}

Expectation Demo::run() {
  write_catalogue();
  runtime::terminal::Progress progress("generating", static_cast<std::uint64_t>(options_.events));
  for (std::int64_t index = 0; index < options_.events; ++index) {
    write_unique(index);
    write_besides(index);
    const auto done = static_cast<std::uint64_t>(index);
    if (index % 4'096 == 0) {
      progress.update(done, done, runtime::terminal::grouped(done) + " events");
    }
  }
  for (Output& output : outputs_) {
    output.finish();
    expected_.set_file(output.name(), output.records());
  }
  std::ofstream file(options_.out / "expected.json", std::ios::trunc);
  file << expected_.to_json().dump(1) << '\n';
  if (!file) throw std::runtime_error("expected.json: cannot be written");
  return expected_;
}

}  // namespace

Expectation write_demo(const DemoOptions& options) {
  std::filesystem::create_directories(options.out);
  return Demo(options).run();
}

}  // namespace tally::generator
