#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "storage/checkpoint_archive.hpp"

#include <memory>
#include <string>

namespace headrace::cli {

/// The archive at `uri` for a verb: nothing is remembered between two runs. Fails: bad_config,
/// io_error.
result<std::unique_ptr<storage::checkpoint_archive>> open_archive(const std::string& uri,
                                                                  const clock& time);

}  // namespace headrace::cli
