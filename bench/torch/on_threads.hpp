#pragma once

#include "kernels/runtime/float_mode.hpp"

#include <cstddef>
#include <sched.h>
#include <thread>
#include <vector>

namespace headrace::bench {

/// Keeps the calling thread on the i-th of the cores it may use, round and round, while it lives;
/// where that is refused, nothing changes. Short-lived threads on a busy machine otherwise share
/// the core of their parent.
class on_core {
 public:
  explicit on_core(unsigned i) {
    if (::sched_getaffinity(0, sizeof before_, &before_) != 0) return;
    std::vector<int> cores;
    for (int core = 0; core < CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &before_)) cores.push_back(core);
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cores[i % cores.size()], &one);
    moved_ = ::sched_setaffinity(0, sizeof one, &one) == 0;
  }
  ~on_core() {
    if (moved_) ::sched_setaffinity(0, sizeof before_, &before_);
  }
  on_core(const on_core&) = delete;
  on_core& operator=(const on_core&) = delete;

 private:
  cpu_set_t before_ = {};
  bool moved_ = false;
};

/// Calls work(0) … work(threads - 1), each on a thread and a core of its own, the first on the
/// caller's thread; returns when all have. In the float mode of workers. Costs some 50 µs a thread.
template <class Work>
void on_threads(unsigned threads, const Work& work) {
  std::vector<std::jthread> others;
  for (unsigned i = 1; i < threads; ++i) {  // before the caller is moved: they inherit its cores
    others.emplace_back([&work, i] {
      const on_core mine(i);
      kernels::set_float_mode();
      work(i);
    });
  }
  const on_core mine(0);
  const kernels::float_mode mode;
  work(0);
}

/// Where part i of `parts` of n things begins; part i ends where the next begins.
constexpr std::size_t part_begin(std::size_t n, std::size_t i, std::size_t parts) {
  return n * i / parts;
}

}  // namespace headrace::bench
