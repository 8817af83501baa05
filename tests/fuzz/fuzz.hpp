#pragma once

#include "base/check.hpp"
#include "base/frame.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

/// What every fuzz target of a decoder shares. One target is one .cpp that defines
/// LLVMFuzzerTestOneInput and has one line in CMakeLists.txt.
namespace headrace::fuzz {

inline frame frame_of(const std::uint8_t* data, std::size_t size) {
  return frame::copy_of(std::as_bytes(std::span(data, size)));
}

inline bool same_bytes(const frame& a, const frame& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.bytes().data(), b.bytes().data(), a.size()) == 0);
}

/// Decodes `bytes`: a named error, or a value that we could have sent ourselves and read back the
/// same.
template <class Decode>
void must_survive(const frame& bytes, Decode decode) {
  const auto got = decode(bytes);
  if (!got.ok()) {
    CHECK(!got.error().detail.empty());
    return;
  }
  const frame sent = encode(*got);
  const auto again = decode(sent);
  CHECK(again.ok());
  CHECK(same_bytes(encode(*again), sent));
}

}  // namespace headrace::fuzz

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t size_max);
