#include "kernels/dedup/dedup.hpp"
#include "kernels/dedup/dedup_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

namespace headrace::kernels {
namespace {

/// Not stable on purpose: equal keys come in reverse.
void sort_pairs(const std::uint64_t* keys,
                std::uint64_t* sorted_keys,
                const std::uint32_t* values,
                std::uint32_t* sorted_values,
                std::uint32_t n) {
  std::vector<std::uint32_t> order(n);
  std::iota(order.rbegin(), order.rend(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t left, std::uint32_t right) {
    return keys[left] < keys[right];
  });
  for (std::uint32_t i = 0; i < n; ++i) {
    sorted_keys[i] = keys[order[i]];
    sorted_values[i] = values[order[i]];
  }
}

void expect_as_the_reference(const std::vector<std::uint64_t>& keys) {
  const auto n = static_cast<std::uint32_t>(keys.size());
  SCOPED_TRACE(std::to_string(n) + " keys");
  std::vector<std::uint64_t> wanted;
  std::vector<std::uint32_t> wanted_inverse;
  std::vector<std::uint32_t> wanted_counts;
  dedup_scratch scratch;
  dedup_ref({keys, scratch, wanted, wanted_inverse, wanted_counts});
  alignas(128) static std::byte memory[1 << 19];
  ASSERT_LE(dedup_parts(nullptr, n, 0).bytes, sizeof(memory));
  for_each_order([&](const emulated_launch& launch) {
    std::fill(std::begin(memory), std::end(memory), std::byte{0xA5});
    std::vector<std::uint64_t> unique(n, 7);
    std::vector<std::uint32_t> inverse(n, 7);
    std::vector<std::uint32_t> counts(n, 7);
    std::uint32_t unique_count = 7;
    device::dedup_view view{};
    view.unique = unique.data();
    view.inverse = inverse.data();
    view.counts = counts.data();
    view.unique_count = &unique_count;
    view.n = n;
    launch_dedup(keys.data(), view, dedup_parts(memory, n, 0), sort_pairs, launch);
    ASSERT_EQ(unique_count, wanted.size());
    unique.resize(unique_count);
    counts.resize(unique_count);
    ASSERT_TRUE(same_bits(std::span(unique), std::span(wanted)));
    ASSERT_TRUE(same_bits(std::span(inverse), std::span(wanted_inverse)));
    ASSERT_TRUE(same_bits(std::span(counts), std::span(wanted_counts)));
  });
}

TEST(DedupKernel, FindsWhatTheReferenceFinds) {
  for (const std::size_t n : {1U, 257U, 4'096U, 9'000U}) {
    for (const std::uint64_t different : {3ULL, 1'000ULL, ~0ULL}) {
      random_stream random(test_seed() + n);
      std::vector<std::uint64_t> keys(n);
      for (auto& key : keys) key = ~random.next_below(different);
      expect_as_the_reference(keys);
    }
  }
}

}  // namespace
}  // namespace headrace::kernels
