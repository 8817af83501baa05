#pragma once

#include "kernels/runtime/emulated_grid.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>

/// What the tests that emulate kernels share: a launcher, seeds, an error.
namespace headrace::kernels {

/// Runs what a launch on a stream would run (launch shapes of an op: OP_launch.hpp), one kernel
/// after another.
struct emulated_launch {
  std::uint64_t seed = 0;

  template <class Kernel, class... Args>
  void operator()(const launch_shape& shape, const Kernel& kernel, Args... args) const {
    emulate({.grid = shape.grid,
             .threads = shape.threads,
             .shared_bytes = shape.shared_bytes,
             .seed = seed},
            kernel,
            args...);
  }
};

/// Calls check(launcher) under several orders of blocks and threads.
template <class Check>
void for_each_order(const Check& check) {
  for (std::uint64_t i = 0; i < 3; ++i) {
    const std::uint64_t seed = test_seed() + 1000 * i;
    SCOPED_TRACE("order " + std::to_string(seed));
    check(emulated_launch{seed});
  }
}

/// ‖got − wanted‖ / ‖wanted‖; NaN anywhere is infinite. Of nothing, and of zeros got as zeros, 0.
template <class Got, class Wanted>
double relative_error(std::span<Got> got, std::span<Wanted> wanted) {
  double off = 0.0;
  double size = 0.0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double w = static_cast<double>(wanted[i]);
    off += std::pow(static_cast<double>(got[i]) - w, 2);
    size += w * w;
  }
  if (got.size() != wanted.size() || std::isnan(off)) {
    return std::numeric_limits<double>::infinity();
  }
  return off == 0.0 ? 0.0 : std::sqrt(off / size);
}

template <class Value>
void fill_signed(std::span<Value> values, random_stream& random, float scale = 1.0F) {
  for (Value& value : values) value = static_cast<Value>(next_signed(random, scale));
}

}  // namespace headrace::kernels
