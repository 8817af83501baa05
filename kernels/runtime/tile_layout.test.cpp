#include "kernels/runtime/tile_layout.hpp"

#include "kernels/runtime/stage_ring.hpp"
#include "kernels/runtime/tensor_map.hpp"

#include <gtest/gtest.h>

#include <set>
#include <utility>
#include <vector>

namespace headrace::kernels {
namespace {

TEST(TileLayout, TheSwizzleUndoesItselfAndStaysWithinALine) {
  for (std::uint32_t address = 0; address < 1 << 14; ++address) {
    EXPECT_EQ(swizzled_128(swizzled_128(address)), address);
    EXPECT_EQ(swizzled_128(address) / line_bytes, address / line_bytes);
    EXPECT_EQ(swizzled_128(address) % 16, address % 16);
  }
}

TEST(TileLayout, EightLinesPiecesLieInDifferentBanks) {
  for (std::uint32_t piece = 0; piece < 8; ++piece) {
    std::set<std::uint32_t> banks;
    for (std::uint32_t line = 0; line < 8; ++line) {
      banks.insert(swizzled_128(line * line_bytes + piece * 16) % line_bytes);
    }
    EXPECT_EQ(banks.size(), 8U);
  }
}

TEST(TileLayout, ADescriptorHasTheBitsOfTheIsa) {
  EXPECT_EQ(operand_descriptor(0x400, 8'192), 0x4000'0040'0200'0040U);
  EXPECT_EQ(descriptor_of({0x3FFF0, 16, 0x20, 3, 5}), 0xC00A'0002'0001'3FFFU);
  const operand_place place{0x12340, 0x3FFF0, 0x400, 2, 7};
  EXPECT_EQ(place_of(descriptor_of(place)), place);
}

/// A box of lines as the copy engine leaves it at `start`: where element (line, column) lies.
std::uint32_t in_box(std::uint32_t start, std::uint32_t line, std::uint32_t column) {
  const std::uint32_t piece = column / 8 ^ line % 8;
  return start + line * line_bytes + piece * 16 + column % 8 * 2;
}

TEST(TileLayout, OperandsAlongKAreFoundWhereTheCopyEngineLeavesThem) {
  for (const std::uint32_t start : {0U, 1'024U, 7'168U}) {
    for (std::uint32_t kk = 0; kk < 4; ++kk) {
      const auto place =
          place_of(operand_descriptor(start + kk * next_depth_bytes(operand_major::k), 0));
      for (std::uint32_t mn = 0; mn < 256; ++mn) {
        for (std::uint32_t k = 0; k < 16; ++k) {
          EXPECT_EQ(address_of(place, operand_major::k, mn, k), in_box(start, mn, 16 * kk + k));
        }
      }
    }
  }
}

TEST(TileLayout, OperandsAlongMnAreFoundWhereTheCopyEngineLeavesThem) {
  constexpr std::uint32_t strip_bytes = 64 * line_bytes;  // boxes of 64 k's
  for (const std::uint32_t start : {0U, 1'024U, 7'168U}) {
    for (std::uint32_t kk = 0; kk < 4; ++kk) {
      const auto place = place_of(
          operand_descriptor(start + kk * next_depth_bytes(operand_major::mn), strip_bytes));
      for (std::uint32_t mn = 0; mn < 256; ++mn) {
        for (std::uint32_t k = 0; k < 16; ++k) {
          EXPECT_EQ(address_of(place, operand_major::mn, mn, k),
                    in_box(start + mn / 64 * strip_bytes, 16 * kk + k, mn % 64));
        }
      }
    }
  }
}

TEST(TileLayout, AWarpgroupHoldsEachSumOnce) {
  std::set<std::pair<std::uint32_t, std::uint32_t>> held;
  for (std::uint32_t thread = 0; thread < 128; ++thread) {
    for (std::uint32_t i = 0; i < 64; ++i) {
      held.insert({accumulator_row(thread, i), accumulator_column(thread, i)});
    }
  }
  EXPECT_EQ(held.size(), 64U * 128U);
  EXPECT_EQ(held.rbegin()->first, 63U);
  EXPECT_EQ(held.rbegin()->second, 127U);
}

TEST(StageRing, AWriterAndItsReaderAgreeOnPhases) {
  stage_ring<3> ring;
  std::vector<std::uint32_t> full(3, 0);   // phase that each barrier is in
  std::vector<std::uint32_t> empty(3, 0);  //
  for (std::uint32_t i = 0; i < 20; ++i) {
    EXPECT_EQ(ring.stage, i % 3);
    EXPECT_EQ(ring.previous(), (i + 2) % 3);
    EXPECT_NE(empty[ring.stage], ring.free()) << "the writer may go on";
    EXPECT_EQ(full[ring.stage], ring.parity) << "the reader must wait";
    full[ring.stage] ^= 1;
    EXPECT_NE(full[ring.stage], ring.parity) << "the reader may go on";
    EXPECT_EQ(empty[ring.stage], ring.parity);
    empty[ring.stage] ^= 1;
    ring.advance();
  }
}

TEST(TensorTiles, SaysWhatTheDriverWouldRefuse) {
  alignas(16) static std::uint16_t memory[8];
  const tensor_tiles good{memory, 8, 1, 1, 16, 0, 64};
  EXPECT_EQ(fault_in(good), nullptr);
  const auto refused = [&](auto change) {
    tensor_tiles bad = good;
    change(bad);
    return fault_in(bad) != nullptr;
  };
  EXPECT_TRUE(refused([](tensor_tiles& of) { of.base = memory + 1; }));
  EXPECT_TRUE(refused([](tensor_tiles& of) { of.columns = 0; }));
  EXPECT_TRUE(refused([](tensor_tiles& of) { of.columns = 9; }));
  EXPECT_TRUE(refused([](tensor_tiles& of) { of.lines = 0; }));
  EXPECT_TRUE(refused([](tensor_tiles& of) { of.line_pitch = 24; }));
  EXPECT_TRUE(refused([](tensor_tiles& of) { of.slices = 2; }));
  EXPECT_TRUE(refused([](tensor_tiles& of) { of.box_lines = 257; }));
}

}  // namespace
}  // namespace headrace::kernels
