#include "aggregator/decode.h"

namespace tally::aggregator {

std::string_view to_string(RejectReason reason) {
  switch (reason) {
    case RejectReason::kNone:
      return "none";
    case RejectReason::kEmptyValue:
      return "empty_value";
    case RejectReason::kMalformedJson:
      return "malformed_json";
    case RejectReason::kInvalidUtf8:
      return "invalid_utf8";
    case RejectReason::kNotCloudEvent:
      return "not_a_cloudevent";
    case RejectReason::kUnsupportedSpecversion:
      return "unsupported_specversion";
    case RejectReason::kMissingAttribute:
      return "missing_attribute";
    case RejectReason::kDuplicateAttribute:
      return "duplicate_attribute";
    case RejectReason::kWrongType:
      return "wrong_type";
    case RejectReason::kAttributeTooLong:
      return "attribute_too_long";
    case RejectReason::kBadTime:
      return "bad_time";
    case RejectReason::kDataNotObject:
      return "data_not_object";
    case RejectReason::kDataTooLarge:
      return "data_too_large";
    case RejectReason::kTimeInFuture:
      return "time_in_future";
    case RejectReason::kValueMissing:
      return "value_missing";
    case RejectReason::kValueNotANumber:
      return "value_not_a_number";
    case RejectReason::kValueOutOfRange:
      return "value_out_of_range";
    case RejectReason::kValueNegative:
      return "value_negative";
    case RejectReason::kValueNotScalar:
      return "value_not_scalar";
    case RejectReason::kDimensionNotScalar:
      return "dimension_not_scalar";
    case RejectReason::kDimensionTooLong:
      return "dimension_too_long";
  }
  return "unknown";
}

}  // namespace tally::aggregator
