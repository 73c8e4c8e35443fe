// Which columns of a CSV file become what of an event: the file that --map names, described in
// schemas/csv.
#pragma once

#include "core/result.h"
#include "producer/publish/data_shape.h"
#include "producer/publish/time_text.h"

#include <string>
#include <string_view>
#include <vector>

namespace tally::producer::publish {

// An attribute's text: a column's, or the same in every event.
struct TextFrom {
  std::string column;    // "": constant
  std::string constant;  // of one without a column
};

struct Mapping {
  std::vector<std::string> id;  // columns, one or more; several are joined
  TextFrom time;
  TimeFormat time_format;
  TextFrom subject;
  TextFrom type;
  TextFrom source;
  // `from` is left to whoever knows the header; `column` beside each.
  struct Data {
    std::string column;
    DataField field;
  };
  std::vector<Data> data;
};

// An error names the member, and says what it may be.
[[nodiscard]] core::Result<Mapping> parse_mapping(std::string_view json);

}  // namespace tally::producer::publish
