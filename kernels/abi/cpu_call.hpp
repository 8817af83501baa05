#pragma once

#include "kernels/abi/entry.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

/// What only the entries of the CPU library check: the CUDA library has streams, and does not read
/// what lies on the device.
namespace headrace::kernels::abi {

inline void need_no_stream(const void* stream) {
  need(stream == nullptr, "stream is not null: the CPU library has no streams");
}

/// An array as a span; of null, nothing.
template <class Value>
std::span<Value> span_of(Value* array, std::size_t count) {
  return array == nullptr ? std::span<Value>() : std::span<Value>(array, count);
}

/// Each of `index` below `rows`; `name` is the field.
inline void need_index(std::span<const std::uint32_t> index, std::uint64_t rows, const char* name) {
  const auto beyond =
      std::find_if(index.begin(), index.end(), [rows](std::uint32_t row) { return row >= rows; });
  if (beyond == index.end()) return;
  refuse(HEADRACE_BAD_ARGUMENT,
         std::string(name) + " has " + std::to_string(*beyond) + " at " +
             std::to_string(beyond - index.begin()) + ", there are " + std::to_string(rows) +
             " rows");
}

}  // namespace headrace::kernels::abi
