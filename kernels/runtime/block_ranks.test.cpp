#include "kernels/runtime/block_ranks.hpp"

#include "kernels/runtime/emulated_cases.hpp"

#include <vector>

namespace headrace::kernels {
namespace {

TEST(BlockRanks, CountsBecomeSumsOfThoseBeforeThem) {
  for (const std::uint32_t n : {0U, 1U, 31U, 32U, 33U, 256U, 257U, 1'000U}) {
    SCOPED_TRACE(std::to_string(n) + " counts");
    random_stream random(test_seed() + n);
    std::vector<std::uint32_t> counts(n);
    for (auto& count : counts) count = static_cast<std::uint32_t>(random.next_below(5'000));
    for_each_order([&](const emulated_launch& launch) {
      std::vector<std::uint32_t> got = counts;
      std::uint32_t total = 77;
      launch(
          {.grid = {1}, .threads = device::rank_threads, .shared_bytes = device::rank_shared_bytes},
          device::scan_counts_kernel,
          got.data(),
          n,
          &total);
      std::uint32_t sum = 0;
      for (std::uint32_t i = 0; i < n; ++i) {
        ASSERT_EQ(got[i], sum) << i;
        sum += counts[i];
      }
      EXPECT_EQ(total, sum);
    });
  }
}

HEADRACE_KERNEL void ranks_kernel(const std::uint8_t* wanted,
                                  std::uint32_t* ranks,
                                  std::uint32_t* totals) {
  auto* counts = reinterpret_cast<std::uint32_t*>(device::shared_memory());
  for (std::uint32_t tile = 0; tile < 3; ++tile) {
    const std::uint32_t i = tile * device::rank_threads + device::thread_index();
    ranks[i] = device::rank_in_tile(wanted[i] != 0, counts, totals[tile]);
  }
}

TEST(BlockRanks, ARankCountsTheWantedBeforeIt) {
  constexpr std::uint32_t n = 3 * device::rank_threads;
  random_stream random(test_seed());
  std::vector<std::uint8_t> wanted(n);
  for (auto& one : wanted) one = random.next_below(3) == 0 ? 1 : 0;
  for_each_order([&](const emulated_launch& launch) {
    std::vector<std::uint32_t> ranks(n, 999);
    std::vector<std::uint32_t> totals(3);
    launch(
        {.grid = {1}, .threads = device::rank_threads, .shared_bytes = device::rank_shared_bytes},
        ranks_kernel,
        wanted.data(),
        ranks.data(),
        totals.data());
    std::uint32_t before = 0;
    for (std::uint32_t i = 0; i < n; ++i) {
      if (i % device::rank_threads == 0) before = 0;
      ASSERT_EQ(ranks[i], before) << i;
      before += wanted[i];
      if ((i + 1) % device::rank_threads != 0) continue;
      EXPECT_EQ(totals[i / device::rank_threads], before);
    }
  });
}

}  // namespace
}  // namespace headrace::kernels
