// core/handoff.h: a block that can be read is what would be written of it, what is written is read
// back, and one that is cut short is refused.
#include "core/handoff.h"

#include "core/check.h"
#include "tests/fuzz/record_stream.h"
#include "tests/fuzz/target.h"

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace tally::fuzz {
namespace {

// nullopt: the block was refused.
std::optional<std::string> rewritten(std::string_view block) {
  core::HandoffReader reader(block);
  std::string text;
  try {
    while (const auto record = reader.next()) core::append_handoff(*record, text);
  } catch (const std::runtime_error&) {
    return std::nullopt;
  }
  return text;
}

std::string block_of(const StreamRecord& given, std::int64_t offset) {
  std::vector<core::HandoffHeader> headers;
  for (const auto& header : given.headers) headers.push_back({header.name, header.value});
  core::HandoffRecord record;
  record.partition = static_cast<std::int32_t>(given.hours);
  record.offset = offset;
  record.log_time_ms = -given.skip;
  record.admission = given.skip % 2 == 0   ? core::Admission::kLog
                     : given.skip % 4 == 1 ? core::Admission::kReadmitted
                                           : core::Admission::kReadmittedUnchecked;
  record.value = given.value;
  record.headers = headers;
  std::string block;
  core::append_handoff(record, block);
  return block;
}

}  // namespace

void one_input(std::string_view input) {
  const auto read = rewritten(input);
  TALLY_CHECK(!read || *read == input, "{} bytes came back as {}", input.size(), read->size());

  std::string block;
  for (const StreamRecord& given : read_stream(input)) {
    const std::string record = block_of(given, static_cast<std::int64_t>(block.size()));
    TALLY_CHECK(
        !rewritten(std::string_view(record).substr(0, 1 + input.size() % (record.size() - 1))));
    block += record;
  }
  TALLY_CHECK(rewritten(block) == block);
}

}  // namespace tally::fuzz
