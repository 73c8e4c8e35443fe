// An event's JSON in two steps without a buffer between them: measured and checked first, then
// written into room of just that size. What passes is never rejected by the aggregator for its
// envelope. One thread at a time; the views given must live until write().
#pragma once

#include "core/timestamp.h"
#include "producer/usage_client.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tally::producer {

// What stands in every event of one client, ready to copy.
class Stamp {
 public:
  // `source` may be empty: then each event names its own. problem(): of the source.
  Stamp(std::string_view source, std::string_view stream_id);
  [[nodiscard]] std::string_view source() const { return source_; }
  [[nodiscard]] std::string_view source_json() const { return source_json_; }
  // `,"tallystream":"…","tallyseq":"`: the last of what is written; digits and `"}` follow.
  [[nodiscard]] std::string_view stream_json() const { return stream_json_; }

 private:
  std::string source_;
  std::string source_json_;
  std::string stream_json_;
};

// Room after the text for the sequence number (20 digits) and `"}`.
inline constexpr std::size_t kSequenceRoom = 22;
// Appends them at `to`; returns how many bytes.
std::size_t write_sequence(std::uint64_t sequence, char* to);

// A sentence about what is wrong, in memory of the calling thread, until its next problem.
using Problem = std::string_view;
// "": a good client's source.
[[nodiscard]] Problem source_problem(std::string_view source);

class EventText {
 public:
  explicit EventText(const Stamp& stamp) : stamp_(stamp) {}

  // What is to be written; id and source are given. data: a JSON object's text or members, one of
  // them. Returns "" or what is wrong, field and limit named.
  [[nodiscard]] Problem measure(std::string_view id, std::string_view source, std::string_view type,
                                std::string_view tenant, core::Timestamp time);
  [[nodiscard]] Problem measure_data(std::string_view json);
  [[nodiscard]] Problem measure_data(std::span<const Field> fields);

  // Whether the whole event with its key is at most `max_bytes`.
  [[nodiscard]] Problem size_problem(std::size_t key_bytes, std::size_t max_bytes) const;

  // After both measures found nothing.
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  void write(char* to) const;

 private:
  // An attribute and what its escapes add.
  struct Text {
    std::string_view text;
    std::size_t extra = 0;
  };
  [[nodiscard]] Problem measure_attribute(std::string_view name, std::string_view value,
                                          std::size_t max_bytes, Text& into);

  const Stamp& stamp_;
  Text id_;
  Text source_;
  Text type_;
  Text tenant_;
  std::array<char, 27> time_{};
  std::string_view json_;
  std::span<const Field> fields_;
  bool fields_have_escapes_ = false;
  std::size_t bytes_ = 0;
};

}  // namespace tally::producer
