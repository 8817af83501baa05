#include "base/random.hpp"
#include "kernels/runtime/emulated_grid.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/runtime/hopper.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace headrace::kernels {
namespace {

using ::testing::HasSubstr;
using namespace device;

constexpr std::uint64_t seeds = 6;
constexpr std::uint32_t box_bytes = 64 * line_bytes;

/// A block's aligned shared memory, and its first barrier, behind three boxes.
struct memory_of {
  std::byte* tiles = align_shared(shared_memory());
  barrier_word* barrier = reinterpret_cast<barrier_word*>(tiles + 3 * box_bytes);
};
constexpr std::size_t shared_bytes = group_bytes + 3 * box_bytes + 64;

std::vector<std::uint16_t> drawn(std::size_t count, std::uint64_t seed) {
  random_stream draw(seed);
  std::vector<std::uint16_t> values(count);
  for (auto& x : values) x = brain_nearest(static_cast<float>(draw.next_unit()) - 0.5F);
  return values;
}

tensor_map map_of(const std::vector<std::uint16_t>& of, std::uint64_t columns) {
  return emulated_map({of.data(), columns, of.size() / columns, 1, columns * 2, 0, 64});
}

std::string fault_of(unsigned threads, const std::function<void()>& kernel) {
  try {
    emulate({.threads = threads, .shared_bytes = shared_bytes, .seed = 3}, kernel);
  } catch (const std::logic_error& fault) {
    return fault.what();
  }
  return "none";
}

void begin_barrier(barrier_word* at, unsigned arrivals) {
  if (thread_index() == 0) {
    init_barrier(at, arrivals);
    fence_barriers();
  }
  sync_block();
}

TEST(Hopper, ATileIsNothingUntilItsBarrierSaysSo) {
  const std::vector<std::uint16_t> values = drawn(70 * 72, 1);
  const tensor_map map = map_of(values, 72);
  const auto kernel = [&] {
    const memory_of memory;
    begin_barrier(memory.barrier, 1);
    const auto at = [&](unsigned line, unsigned column) {
      const std::uint32_t to = shared_address(memory.tiles) + line * line_bytes + column * 2;
      std::uint16_t bits;
      std::memcpy(&bits, memory.tiles + (swizzled_128(to) - shared_address(memory.tiles)), 2);
      return bits;
    };
    if (thread_index() == 0) {
      arrive_expecting(memory.barrier, box_bytes);
      load_tile(memory.tiles, map, 10, 8, 0, memory.barrier);
      EXPECT_TRUE(std::isnan(brain_to_float(at(0, 0))));
    }
    wait_phase(memory.barrier, 0);
    for (unsigned line = 0; line < 64; ++line) {
      for (unsigned column = 0; column < 64; ++column) {
        const bool outside = line + 8 >= 70 || column + 10 >= 72;
        const std::uint16_t wanted =
            outside ? std::uint16_t{0} : values[(line + 8) * 72 + column + 10];
        ASSERT_EQ(at(line, column), wanted) << line << " " << column;
      }
    }
  };
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    emulate({.threads = 64, .shared_bytes = shared_bytes, .seed = seed}, kernel);
  }
}

/// c [64, 64] = left right over 64 k's, operands as they lie in [lines, 64] of memory.
template <operand_major left_major, operand_major right_major>
HEADRACE_KERNEL void product_kernel(const HEADRACE_GRID_CONSTANT tensor_map left,
                                    const HEADRACE_GRID_CONSTANT tensor_map right,
                                    float* c) {
  const memory_of memory;
  begin_barrier(memory.barrier, 1);
  if (warp() == 0 && elect_one()) {
    arrive_expecting(memory.barrier, 2 * box_bytes);
    load_tile(memory.tiles, left, 0, 0, 0, memory.barrier);
    load_tile(memory.tiles + box_bytes, right, 0, 0, 0, memory.barrier);
  }
  wait_phase(memory.barrier, 0);
  float sums[32];
  begin_products(sums);
  const std::uint32_t at = shared_address(memory.tiles);
  for (std::uint32_t kk = 0; kk < 4; ++kk) {
    multiply_tiles<brain, left_major, right_major>(
        sums,
        operand_descriptor(at + kk * next_depth_bytes(left_major), box_bytes),
        operand_descriptor(at + box_bytes + kk * next_depth_bytes(right_major), box_bytes),
        kk > 0);
  }
  commit_products();
  EXPECT_TRUE(std::isnan(sums[0]));
  wait_products<0>(sums);
  for (unsigned i = 0; i < 32; ++i) {
    c[accumulator_row(thread_index(), i) * 64 + accumulator_column(thread_index(), i)] = sums[i];
  }
}

template <operand_major left_major, operand_major right_major>
void check_product() {
  const std::vector<std::uint16_t> left = drawn(64 * 64, 2);
  const std::vector<std::uint16_t> right = drawn(64 * 64, 3);
  const auto at =
      [](const std::vector<std::uint16_t>& of, operand_major major, unsigned mn, unsigned k) {
        return static_cast<double>(
            brain_to_float(major == operand_major::k ? of[mn * 64 + k] : of[k * 64 + mn]));
      };
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    std::vector<float> c(64 * 64, NAN);
    emulate({.threads = 128, .shared_bytes = shared_bytes, .seed = seed},
            product_kernel<left_major, right_major>,
            map_of(left, 64),
            map_of(right, 64),
            c.data());
    for (unsigned row = 0; row < 64; ++row) {
      for (unsigned column = 0; column < 64; ++column) {
        double sum = 0;
        for (unsigned k = 0; k < 64; ++k) {
          sum += at(left, left_major, row, k) * at(right, right_major, column, k);
        }
        ASSERT_NEAR(static_cast<double>(c[row * 64 + column]), sum, 1e-5);
      }
    }
  }
}

TEST(Hopper, AWarpgroupMultipliesTilesOfBothMajors) {
  check_product<operand_major::k, operand_major::k>();
  check_product<operand_major::k, operand_major::mn>();
  check_product<operand_major::mn, operand_major::k>();
  check_product<operand_major::mn, operand_major::mn>();
}

/// Ones of a warpgroup's registers times a tile that threads stored: column sums of 16 lines.
template <bool fenced, std::uint32_t stride>
HEADRACE_KERNEL void stored_kernel(float* c) {
  const memory_of memory;
  const std::uint32_t at = shared_address(memory.tiles);
  for (unsigned i = thread_index(); i < 16 * 64; i += 128) {
    const std::uint16_t bits = brain_nearest(static_cast<float>(i / 64));  // its line
    const std::uint32_t to = swizzled_128(at + i / 64 * line_bytes + i % 64 * 2);
    std::memcpy(memory.tiles + (to - at), &bits, 2);
  }
  if constexpr (fenced) fence_async();
  sync_block();
  float sums[32] = {};
  const std::uint32_t ones[4] = {0x3F803F80, 0x3F803F80, 0x3F803F80, 0x3F803F80};
  begin_products(sums);
  multiply_registers<brain, operand_major::mn>(
      sums, ones, descriptor_of({at, box_bytes, stride, 1, 0}), true);
  commit_products();
  wait_products<0>(sums);
  if (thread_index() == 0) c[0] = sums[0];
}

template <bool fenced, std::uint32_t stride>
float stored_sum(std::uint64_t seed) {
  float c = 0;
  emulate({.threads = 128, .shared_bytes = shared_bytes, .seed = seed},
          stored_kernel<fenced, stride>,
          &c);
  return c;
}

TEST(Hopper, StoredTilesNeedTheFence) {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    EXPECT_EQ((stored_sum<true, group_bytes>(seed)), 120.0F);
    EXPECT_TRUE(std::isnan(stored_sum<false, group_bytes>(seed)));
  }
}

TEST(Hopper, AWrongStrideGivesWrongNumbers) {
  EXPECT_EQ((stored_sum<true, 0>(1)), 56.0F);  // the first 8 lines twice
  EXPECT_TRUE(std::isnan(stored_sum<true, 2 * group_bytes>(1)));
}

TEST(Hopper, FaultsOfBarriersAreTold) {
  EXPECT_THAT(fault_of(32, [] { arrive(memory_of{}.barrier); }), HasSubstr("no barrier was begun"));
  EXPECT_THAT(fault_of(32,
                       [] {
                         const memory_of memory;
                         if (thread_index() == 0) init_barrier(memory.barrier, 1);
                         sync_block();
                         wait_phase(memory.barrier, 1);
                       }),
              HasSubstr("not made known"));
  EXPECT_THAT(fault_of(32,
                       [] {
                         const memory_of memory;
                         begin_barrier(memory.barrier, 1);
                         wait_phase(memory.barrier, 1);
                         wait_phase(memory.barrier, 0);
                       }),
              HasSubstr("barrier of shared memory"));
}

TEST(Hopper, FaultsOfTilesAreTold) {
  const std::vector<std::uint16_t> values = drawn(64 * 64, 1);
  const tensor_map map = map_of(values, 64);
  const auto load = [&](std::uint32_t skipped) {
    return fault_of(32, [&] {
      const memory_of memory;
      begin_barrier(memory.barrier, 1);
      if (thread_index() == 0) load_tile(memory.tiles + skipped, map, 0, 0, 0, memory.barrier);
    });
  };
  EXPECT_THAT(load(0), HasSubstr("ended while a tile was on its way"));
  EXPECT_THAT(load(512), HasSubstr("not at a multiple of 1,024"));
  EXPECT_THAT(load(3 * box_bytes), HasSubstr("outside of shared memory"));
}

TEST(Hopper, FaultsOfProductsAreTold) {
  const auto products = [](bool begins, bool touches, bool waits) {
    return fault_of(128, [=] {
      const std::uint64_t tile = operand_descriptor(shared_address(memory_of{}.tiles), box_bytes);
      float sums[32] = {};
      if (begins) begin_products(sums);
      multiply_tiles<brain, operand_major::k, operand_major::k>(sums, tile, tile, true);
      commit_products();
      if (touches) sums[7] = 0;
      if (waits) wait_products<0>(sums);
    });
  };
  EXPECT_EQ(products(true, false, true), "none");
  EXPECT_THAT(products(false, false, true), HasSubstr("without begin_products"));
  EXPECT_THAT(products(true, true, true), HasSubstr("changed before"));
  EXPECT_THAT(products(true, false, false), HasSubstr("ended before its products"));
}

TEST(Hopper, SomeWarpsMeetAtANamedBarrier) {
  std::vector<float> to(64, NAN);
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    emulate({.threads = 96, .shared_bytes = 256, .seed = seed}, [&] {
      auto* shared = reinterpret_cast<float*>(shared_memory());
      if (warp() == 2) return;
      shared[thread_index()] = static_cast<float>(thread_index());
      sync_named(1, 64);
      to[thread_index()] = shared[63 - thread_index()];
    });
    for (unsigned i = 0; i < 64; ++i) EXPECT_EQ(to[i], static_cast<float>(63 - i));
  }
  EXPECT_THAT(fault_of(64, [] { warp() == 0 ? sync_named(1, 64) : sync_named(1, 32); }),
              HasSubstr("disagree"));
}

}  // namespace
}  // namespace headrace::kernels
