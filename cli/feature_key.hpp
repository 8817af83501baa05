#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "worker/ingest/source_spec.hpp"

#include <string_view>

namespace headrace::cli {

/// The row that `NAME=VALUE` names, as a worker makes its key of that text in a row of the source:
/// salt, transforms and buckets included; no value is the feature's missing id. Fails: bad_config
/// (no `=`, a feature that the job does not have, with the nearest name, a value that a worker
/// would refuse).
result<row_key> feature_key(const worker::source_spec& source, std::string_view name_and_value);

}  // namespace headrace::cli
