// The demo's stream: five files for five kinds of client, a catalogue, and what all of it must
// come to.
#pragma once

#include "tests/support/generator/expectation.h"

#include <cstdint>
#include <filesystem>
#include <string>

namespace tally::generator {

struct DemoOptions {
  std::int64_t events = 300'000;  // unique ones that count; the dirt comes besides
  std::uint64_t seed = 1;
  std::int64_t start_micros = 0;  // event times run over the 24 hours from here
  int tenants = 1'000;
  std::filesystem::path catalogue;  // the example, whose meters and plans are taken over
  std::filesystem::path out;        // a folder, made when missing
};

// Writes catalogue.json, tally.ndjson, kcat.tsv, python.ndjson, http.ndjson, library.tsv and
// expected.json; what a client of tally would refuse stands in kcat.tsv alone. The same options
// give the same bytes. Throws std::runtime_error with a sentence: a catalogue that lacks a meter
// the stream is about, a file that cannot be written.
Expectation write_demo(const DemoOptions& options);

}  // namespace tally::generator
