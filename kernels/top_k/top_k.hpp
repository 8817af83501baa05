#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Counters that top_k needs; no size of the input changes it.
constexpr std::size_t top_k_workspace() { return 2048 + 1024 + 1024; }

/// The k values of largest magnitude, of equal magnitudes those of lower index, by ascending index.
///
/// values [n] in, n < 2^32; k = indices.size() <= n. Out: indices [k], strictly ascending; selected
/// [k] = values[indices]. workspace at least top_k_workspace(), overwritten. Exact, and the same on
/// every target and in every float mode: magnitudes are compared as the integers their bits are, so
/// an infinity ranks above all finite values and a NaN above that. Reads the values four times, at
/// most five, whatever k is. Outputs overlap no input.
///
/// Radix selection from the top digit (11 + 10 + 10 bits of the magnitude), then compression. What
/// the first digit counts is limited from below by a sample: it saves time only, never exactness.
struct top_k_args {
  std::span<const float> values;
  std::span<std::uint32_t> indices;
  std::span<float> selected;
  std::span<std::uint32_t> workspace;
};
void top_k_ref(const top_k_args& args);  // sorts; needs no workspace
void top_k_cpu(const top_k_args& args);

inline void top_k(const top_k_args& args) { top_k_cpu(args); }

}  // namespace headrace::kernels
