#pragma once

#include "kernels/runtime/float_mode.hpp"

#include <cstddef>
#include <pthread.h>
#include <sched.h>
#include <span>
#include <thread>
#include <vector>

namespace headrace::bench {

/// Cores that the calling thread may use; none where that is not said.
inline std::vector<int> usable_cores() {
  cpu_set_t set;
  std::vector<int> cores;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

/// Keeps a thread on these cores, if the system lets it.
inline void keep_on(pthread_t thread, std::span<const int> cores) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int core : cores) CPU_SET(core, &set);
  if (!cores.empty()) ::pthread_setaffinity_np(thread, sizeof set, &set);
}

/// Calls work(0) … work(threads - 1), each on a thread of its own, the first on the caller's;
/// returns when all have. Each thread has a core to itself as far as they go (short-lived threads
/// on a busy machine otherwise wait for their parent's), and the float mode of workers. Costs some
/// 50 µs a thread.
template <class Work>
void on_threads(unsigned threads, const Work& work) {
  const std::vector<int> cores = usable_cores();
  const auto core_of = [&cores](unsigned i) {
    return std::span(cores).subspan(cores.empty() ? 0 : i % cores.size(), cores.empty() ? 0 : 1);
  };
  {
    keep_on(::pthread_self(), core_of(0));
    std::vector<std::jthread> others;
    for (unsigned i = 1; i < threads; ++i) {
      others.emplace_back([&work, i] {
        kernels::set_float_mode();
        work(i);
      });
      keep_on(others.back().native_handle(), core_of(i));
    }
    const kernels::float_mode mode;
    work(0);
  }
  keep_on(::pthread_self(), cores);
}

/// Where part i of `parts` of n things begins; part i ends where the next begins.
constexpr std::size_t part_begin(std::size_t n, std::size_t i, std::size_t parts) {
  return n * i / parts;
}

}  // namespace headrace::bench
