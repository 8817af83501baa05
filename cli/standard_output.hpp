#pragma once

#include "base/result.hpp"

#include <string_view>

/// Standard output of a verb that goes on for long, and whose reader may leave first (`| head`).
namespace headrace::cli {

/// Has a closed pipe show as `cancelled` and not end the process. Before anything is written.
void expect_closed_output();
/// Writes all of it now. Fails: cancelled (nobody reads any more), io_error.
result<void> write_output(std::string_view text);
/// Whether nobody reads any more, without writing.
bool output_is_closed();

}  // namespace headrace::cli
