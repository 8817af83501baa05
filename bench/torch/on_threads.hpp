#pragma once

#include "kernels/runtime/float_mode.hpp"

#include <cstddef>
#include <thread>
#include <vector>

namespace headrace::bench {

/// Calls work(0) … work(threads - 1), each on a thread of its own, the first on the caller's;
/// returns when all have. In the float mode of workers. Costs some 50 µs a thread.
template <class Work>
void on_threads(unsigned threads, const Work& work) {
  const kernels::float_mode mode;
  std::vector<std::jthread> others;
  for (unsigned i = 1; i < threads; ++i) {
    others.emplace_back([&work, i] {
      kernels::set_float_mode();
      work(i);
    });
  }
  work(0);
}

/// Where part i of `parts` of n things begins; part i ends where the next begins.
constexpr std::size_t part_begin(std::size_t n, std::size_t i, std::size_t parts) {
  return n * i / parts;
}

}  // namespace headrace::bench
