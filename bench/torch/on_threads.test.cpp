#include "bench/torch/on_threads.hpp"

#include <gtest/gtest.h>

#include <array>

namespace headrace::bench {
namespace {

TEST(OnThreads, CallsEachOnceInTheFloatModeAndLeavesTheCallersThreadAsItWas) {
  cpu_set_t before = {};
  ASSERT_EQ(::sched_getaffinity(0, sizeof before, &before), 0);
  const std::uint64_t control = kernels::float_control();
  std::array<int, 5> calls = {};
  std::array<bool, 5> in_mode = {};
  std::array<int, 5> cores = {};
  on_threads(5, [&](unsigned i) {
    ++calls[i];
    in_mode[i] = kernels::in_float_mode();
    cpu_set_t mine = {};
    if (::sched_getaffinity(0, sizeof mine, &mine) == 0) cores[i] = CPU_COUNT(&mine);
  });
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(calls[i], 1) << i;
    EXPECT_TRUE(in_mode[i]) << i;
    EXPECT_EQ(cores[i], 1) << i;
  }
  cpu_set_t after = {};
  ASSERT_EQ(::sched_getaffinity(0, sizeof after, &after), 0);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
  EXPECT_EQ(kernels::float_control(), control);
}

TEST(OnThreads, PartsCoverAllInOrder) {
  EXPECT_EQ(part_begin(7, 0, 3), 0U);
  EXPECT_EQ(part_begin(7, 1, 3), 2U);
  EXPECT_EQ(part_begin(7, 3, 3), 7U);
  EXPECT_EQ(part_begin(1, 1, 2), 0U);
}

}  // namespace
}  // namespace headrace::bench
