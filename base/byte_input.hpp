#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace headrace {

/// Bytes of a file read once from front to back: plain, gzip or zstd, told apart by the first
/// bytes. Concatenated gzip members and zstd frames read as one stream. One thread owns it.
class byte_input {
 public:
  /// Opens `path`; `-` is standard input. Fails: not_found (no such file), io_error, bad_input (a
  /// folder).
  static result<std::unique_ptr<byte_input>> open(const std::string& path);
  virtual ~byte_input() = default;

  /// Fills the front of `into` (not empty) and says how many bytes; fewer than asked is normal, 0
  /// is the end. Fails: bad_input (compressed data is damaged or ends too early; names file and
  /// position), io_error. After a failure every further read fails the same way.
  virtual result<std::size_t> read(std::span<char> into) = 0;
};

}  // namespace headrace
