#pragma once

#include <cstdint>
#include <string>
#include <vector>

/// The instruction sets the CPU kernels are compiled for. One is chosen at the first call, the best
/// this machine has; a test or a bench may choose another to compare.
namespace headrace::kernels {

/// One bit of Highway's target mask.
using cpu_target = std::int64_t;

/// Compiled in and usable on this machine, best first; the last is plain C++.
std::vector<cpu_target> cpu_targets();
/// Such as "AVX3" or "EMU128".
std::string name(cpu_target target);
/// The target the kernels run on now.
cpu_target chosen_cpu_target();

/// Makes every kernel of the process use `target` while it lives. For tests and benches: not
/// thread-safe.
class cpu_target_override {
 public:
  explicit cpu_target_override(cpu_target target);
  ~cpu_target_override();
  cpu_target_override(const cpu_target_override&) = delete;
  cpu_target_override& operator=(const cpu_target_override&) = delete;
};

}  // namespace headrace::kernels
