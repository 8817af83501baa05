#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace headrace {

enum class content_encoding : std::uint8_t { identity, gzip, zstd };

/// Unpacks bytes in memory, no further than `bytes_max`: what would be larger stops there and costs
/// no more memory or time than that. Concatenated gzip members and zstd frames read as one.
/// Fails: malformed (damaged, or ends too early), too_large.
result<std::string> inflate(content_encoding encoding,
                            std::string_view bytes,
                            std::size_t bytes_max);

}  // namespace headrace
