#include "kernels/runtime/emulated_grid.hpp"

#include "base/random.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace headrace::kernels {
namespace {

using ::testing::HasSubstr;
using namespace device;

constexpr unsigned threads = 64;
constexpr int seeds = 5;

std::string fault_of(const emulation& how, const std::function<void()>& kernel) {
  try {
    emulate(how, kernel);
  } catch (const std::logic_error& fault) {
    return fault.what();
  }
  return "none";
}

HEADRACE_KERNEL void reverse_kernel(const float* from, float* to) {
  auto* shared = reinterpret_cast<float*>(shared_memory());
  const unsigned first = block_index().x * block_threads();
  shared[thread_index()] = from[first + thread_index()];
  sync_block();
  to[first + thread_index()] = shared[block_threads() - 1 - thread_index()];
}

TEST(EmulatedGrid, RunsEveryThreadOfEveryBlock) {
  std::multiset<std::vector<unsigned>> seen;
  emulate({.grid = {2, 3, 2}, .threads = threads}, [&] {
    const grid_index at = block_index();
    seen.insert({at.x, at.y, at.z, thread_index()});
  });
  EXPECT_EQ(seen.size(), 12 * threads);
  EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), seen.size());
}

TEST(EmulatedGrid, AWholeBlockMeetsAtABarrier) {
  std::vector<float> from(3 * threads);
  std::vector<float> to(from.size(), NAN);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i);
  for (int seed = 0; seed < seeds; ++seed) {
    emulate({.grid = {3}, .threads = threads, .shared_bytes = threads * 4, .seed = 1U + seed},
            reverse_kernel,
            from.data(),
            to.data());
    for (std::size_t i = 0; i < to.size(); ++i) {
      EXPECT_EQ(to[i], from[i / threads * threads + threads - 1 - i % threads]) << "seed " << seed;
    }
  }
}

TEST(EmulatedGrid, AMissingBarrierShows) {
  std::vector<float> to(threads, 0);
  emulate({.threads = threads, .shared_bytes = threads * 4, .seed = 1}, [&] {
    auto* shared = reinterpret_cast<float*>(shared_memory());
    shared[thread_index()] = 1;
    to[thread_index()] = shared[threads - 1 - thread_index()];
  });
  EXPECT_TRUE(std::any_of(to.begin(), to.end(), [](float x) { return std::isnan(x); }));
}

TEST(EmulatedGrid, WarpsShuffleVoteAndSum) {
  for (int seed = 0; seed < seeds; ++seed) {
    emulate({.threads = threads, .seed = 7U + seed}, [] {
      const unsigned me = lane();
      EXPECT_EQ(shuffle(me * 3, 5), 15U);
      EXPECT_EQ(shuffle_xor(me, 9), me ^ 9U);
      EXPECT_EQ(shuffle_down(me, 4), me + 4 < 32 ? me + 4 : me);
      EXPECT_EQ(shuffle_up(me, 4), me >= 4 ? me - 4 : me);
      EXPECT_EQ(ballot(me % 2 == 1), 0xAAAAAAAAU);
      EXPECT_EQ(warp_sum(static_cast<float>(me)), 496.0F);
      EXPECT_EQ(warp_max(static_cast<double>(me) + warp()), 31.0 + warp());
    });
  }
}

TEST(EmulatedGrid, CopiesArriveWhenWaitedFor) {
  alignas(16) float from[4] = {1, 2, 3, 4};
  emulate({.shared_bytes = 64}, [&] {
    auto* shared = reinterpret_cast<float*>(shared_memory());
    if (thread_index() == 0) {
      copy_async_16(shared, from, true);
      commit_copies();
      copy_async_16(shared + 4, from, false);
      commit_copies();
      EXPECT_TRUE(std::isnan(shared[0]));
      wait_copies<1>();
      EXPECT_EQ(shared[3], 4.0F);
      EXPECT_TRUE(std::isnan(shared[4]));
      wait_copies<0>();
      EXPECT_EQ(shared[4], 0.0F);
    }
  });
}

/// One warp: c [16, 8] = a [16, 16] b [16, 8], with b as rows in memory.
HEADRACE_KERNEL void product_kernel(const std::uint16_t* a, const std::uint16_t* b, float* c) {
  auto* shared = reinterpret_cast<std::uint16_t*>(shared_memory());
  for (unsigned i = lane(); i < 256; i += warp_threads) shared[i] = a[i];
  for (unsigned i = lane(); i < 128; i += warp_threads) shared[256 + i] = b[i];
  sync_warp();
  std::uint32_t left[4];
  const unsigned matrix = lane() / 8;
  load_matrices_x4(left, shared + (lane() % 8 + matrix % 2 * 8) * 16 + matrix / 2 * 8);
  std::uint32_t right[4];
  load_matrices_x4_transposed(right, shared + 256 + lane() % 16 * 8);
  float sums[4] = {0, 0, 0, 0};
  multiply_16x8x16<brain>(sums, left, {right[0], right[1]});
  for (unsigned i = 0; i < 4; ++i) {
    c[(lane() / 4 + i / 2 * 8) * 8 + lane() % 4 * 2 + i % 2] = sums[i];
  }
}

TEST(EmulatedGrid, MatricesAreLoadedAndMultipliedAsTheGpuLaysThemOut) {
  random_stream draw(11);
  std::vector<std::uint16_t> a(256);
  std::vector<std::uint16_t> b(128);
  for (auto& x : a) x = brain_nearest(static_cast<float>(draw.next_unit()) - 0.5F);
  for (auto& x : b) x = brain_nearest(static_cast<float>(draw.next_unit()) - 0.5F);
  std::vector<float> c(128, NAN);
  emulate({.shared_bytes = 1'024}, product_kernel, a.data(), b.data(), c.data());
  for (unsigned row = 0; row < 16; ++row) {
    for (unsigned column = 0; column < 8; ++column) {
      double sum = 0;
      for (unsigned k = 0; k < 16; ++k) {
        sum += static_cast<double>(brain_to_float(a[row * 16 + k])) *
               static_cast<double>(brain_to_float(b[k * 8 + column]));
      }
      EXPECT_EQ(c[row * 8 + column], static_cast<float>(sum)) << row << " " << column;
    }
  }
}

TEST(EmulatedGrid, PacksAsTheGpuRounds) {
  EXPECT_EQ(pack_brains(1.0F, -2.0F), 0xC0003F80U);
  EXPECT_EQ(pack_brains(3.4e38F, NAN), 0x7FFF7F80U);
  EXPECT_EQ(pack_halves(1.0F, 65504.0F), 0x7BFF3C00U);
  EXPECT_EQ(pack_halves(-65520.0F, 65519.0F), 0x7BFFFC00U);
}

TEST(EmulatedGrid, ThreadsAtDifferentBarriersAreAFault) {
  const std::string fault = fault_of({.grid = {1, 2}, .threads = threads}, [] {
    if (thread_index() < 32) {
      sync_block();
    } else {
      sync_block();
    }
  });
  EXPECT_THAT(fault, HasSubstr("block (0, "));
  EXPECT_THAT(fault, HasSubstr("at the barrier of line"));
}

TEST(EmulatedGrid, WhoEndsWhileOthersWaitIsAFault) {
  EXPECT_THAT(fault_of({.threads = threads},
                       [] {
                         if (thread_index() != 3) sync_block();
                       }),
              HasSubstr("threads wait for others that ended: 0 (block, line"));
  EXPECT_THAT(fault_of({.threads = threads},
                       [] {
                         if (lane() != 3) sync_warp();
                       }),
              HasSubstr("0 (warp)"));
}

TEST(EmulatedGrid, LanesInDifferentCallsAreAFault) {
  EXPECT_THAT(fault_of({}, [] { lane() < 16 ? sync_warp() : void(shuffle(1.0, 0)); }),
              HasSubstr("in different calls"));
}

}  // namespace
}  // namespace headrace::kernels
