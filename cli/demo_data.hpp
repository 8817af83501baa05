#pragma once

#include "base/result.hpp"

#include <filesystem>
#include <optional>
#include <string>

namespace headrace::cli {

/// Where the demo's events come from.
struct demo_data {
  std::optional<std::filesystem::path> file;  // MovieLens-100K rows; none: the generated stream
  bool has_header = false;
  std::string description;  // for `data` of the result: where it came from
  std::string warning;      // one line for the user, may be empty
};

/// The data of `headrace demo`, in this order: `given` (a folder with `u.data` or `ml-100k.inter`,
/// or such a file), the cache, the official plain file, the copy inside PyPI's `recbole`. A
/// download is refused unless its rows have the known SHA-256; for `given` a mismatch is only a
/// warning. Nothing reachable: the generated stream. Fails: bad_input when `given` holds no such
/// file.
result<demo_data> find_demo_data(const std::optional<std::filesystem::path>& given);

}  // namespace headrace::cli
