#pragma once

#include "base/random.hpp"
#include "kernels/runtime/float_mode.hpp"
#include "kernels/runtime/targets.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

/// What the tests of the ops draw from: sizes at the edges, hard and seeded values, misaligned
/// starts, every CPU target, both float modes.
namespace headrace::kernels {

/// HEADRACE_SEED, or a fixed number; for_each_cpu_target says it in the failure message.
inline std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'240'611;
}

/// Widths around every vector length: 0 is left to the number of rows.
inline const std::vector<std::size_t>& test_dims() {
  static const std::vector<std::size_t> dims = {
      1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 257};
  return dims;
}

/// Numbers of rows around the prefetch distance.
inline const std::vector<std::size_t>& test_counts() {
  static const std::vector<std::size_t> counts = {0, 1, 2, 15, 16, 17, 37};
  return counts;
}

/// Zeros, subnormals, neighbours of powers of two, the ends of the range: all finite.
inline const std::vector<float>& hard_floats() {
  using limits = std::numeric_limits<float>;
  static const std::vector<float> values = {0.0F,
                                            -0.0F,
                                            limits::denorm_min(),
                                            -limits::denorm_min(),
                                            0x1.fffffcp-127F,
                                            limits::min(),
                                            -1.0e-30F,
                                            0x1p-25F,
                                            0x1.000002p-25F,
                                            0x1p-24F,
                                            1.0F,
                                            -1.0F,
                                            0x1.fffffep-1F,
                                            0x1.000002p+0F,
                                            -3.0F,
                                            65504.0F,
                                            8.4e6F,
                                            -1e30F,
                                            1e30F,
                                            limits::max(),
                                            -limits::max()};
  return values;
}

/// Uniform in [-scale, scale).
inline float next_signed(random_stream& random, float scale = 1.0F) {
  return scale * static_cast<float>(2.0 * random.next_unit() - 1.0);
}

/// One in `one_in` a hard value no larger than `limit`, else uniform in [-1, 1).
inline float next_hard(random_stream& random,
                       std::uint64_t one_in = 4,
                       float limit = std::numeric_limits<float>::max()) {
  if (random.next_below(one_in) != 0) return next_signed(random);
  const float value = hard_floats()[random.next_below(hard_floats().size())];
  return value >= -limit && value <= limit ? value : 0.5F * limit;
}

/// A buffer whose data starts one element past an aligned address.
template <class Value>
class misaligned {
 public:
  explicit misaligned(std::size_t n, Value fill = Value{}) : memory_(n + 1, fill) {}
  std::span<Value> span() { return std::span<Value>(memory_).subspan(1); }
  std::span<const Value> span() const { return std::span<const Value>(memory_).subspan(1); }

 private:
  std::vector<Value> memory_;
};

/// Whether two buffers are the same bytes; else says where they part.
template <class Value>
::testing::AssertionResult same_bits(std::span<Value> got, std::span<Value> wanted) {
  if (got.size() != wanted.size()) {
    return ::testing::AssertionFailure() << got.size() << " values, wanted " << wanted.size();
  }
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::memcmp(&got[i], &wanted[i], sizeof(Value)) != 0) {
      return ::testing::AssertionFailure()
             << "at " << i << " of " << got.size() << ": " << +got[i] << ", wanted " << +wanted[i];
    }
  }
  return ::testing::AssertionSuccess();
}

/// Calls check() with each CPU target chosen in turn.
template <class Check>
void for_each_cpu_target(const Check& check) {
  for (const cpu_target target : cpu_targets()) {
    SCOPED_TRACE("target " + name(target) + ", HEADRACE_SEED=" + std::to_string(test_seed()));
    const cpu_target_override chosen(target);
    check();
  }
}

/// What work() returns on the plainest target: what the others are compared with where only targets
/// agree.
template <class Work>
auto on_plain_code(const Work& work) {
  const cpu_target_override chosen(cpu_targets().back());
  return work();
}

/// Calls check() in the thread's own float mode, then in the mode of tables.
template <class Check>
void in_both_float_modes(const Check& check) {
  for (const bool flush : {false, true}) {
    SCOPED_TRACE(flush ? "subnormals flushed" : "subnormals kept");
    std::optional<float_mode> mode;
    if (flush) mode.emplace();
    check();
  }
}

}  // namespace headrace::kernels
