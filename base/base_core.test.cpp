#include "base/byte_io.hpp"
#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/process_secret.hpp"
#include "base/random.hpp"
#include "base/result.hpp"

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <string>

namespace headrace {
namespace {

TEST(Random, Mix64IsFrozen) {
  EXPECT_EQ(mix64(0), 0xE220A8397B1DCDAFULL);
  EXPECT_EQ(mix64(1), 0x910A2DEC89025CC1ULL);
}

TEST(Random, UnitDrawsStayBelowOne) {
  EXPECT_LT(unit_double(~0ULL), 1.0);
  EXPECT_LT(unit_float(~0ULL), 1.0F);
  EXPECT_EQ(unit_double(0), 0.0);
}

TEST(ProcessSecret, IsOneAndHidesWhereAKeyStands) {
  EXPECT_EQ(process_secret(), process_secret());
  // Keys that anyone would see meet in any table below 2^32 places.
  std::set<std::uint64_t> places;
  for (std::uint64_t i = 0; i < 500; ++i) {
    places.insert(secret_place(i << 32, 7, process_secret()) % 65'536);
    places.insert(secret_place(7, i << 32, process_secret()) % 65'536);
  }
  EXPECT_GT(places.size(), 950U);
  EXPECT_NE(secret_place(1, 2, 3), secret_place(1, 2, 4));
}

TEST(Frame, CopiesToAlignedMemory) {
  std::array<std::byte, 64> memory{};
  memory[3] = std::byte{7};
  const frame made = frame::copy_of(std::span(memory).subspan(3, 13));
  EXPECT_TRUE(frame::is_aligned(made.bytes()));
  EXPECT_EQ(made.size(), 13U);
  EXPECT_EQ(made.bytes()[0], std::byte{7});
}

TEST(Result, HoldsAValueOrSaysWhyNot) {
  const result<int> good = 3;
  const result<int> bad = error{errc::gap, "batch 7 after 5"};
  EXPECT_EQ(*good, 3);
  EXPECT_EQ(describe(bad.error()), "gap: batch 7 after 5");
}

TEST(Result, TransientAndPermanentRefusalsAreDisjoint) {
  EXPECT_TRUE(is_transient(errc::overloaded));
  EXPECT_FALSE(is_permanent(errc::overloaded));
  EXPECT_TRUE(is_permanent(errc::not_finite));
}

TEST(ByteIo, ReadsWhatWasWrittenAndNothingBehindIt) {
  const std::array<float, 3> values{1.0F, -2.5F, 0.0F};
  byte_writer out;
  out.number(std::uint32_t{7});
  out.text("clicks");
  out.numbers(std::span<const float>(values));
  const auto bytes = out.take();
  byte_reader in(bytes);
  EXPECT_EQ(in.number<std::uint32_t>(), 7U);
  EXPECT_EQ(in.text(), "clicks");
  EXPECT_EQ(in.left(), sizeof values);
  std::array<float, 3> read{};
  in.numbers(std::span<float>(read));
  EXPECT_EQ(read, values);
  EXPECT_TRUE(in.at_end());
  EXPECT_EQ(in.number<std::uint64_t>(), 0U);
  EXPECT_FALSE(in.ok());
}

TEST(ByteIo, ALengthBeyondTheEndIsNoRead) {
  byte_writer out;
  out.number(UINT32_MAX);
  const auto bytes = out.take();
  byte_reader in(bytes);
  EXPECT_TRUE(in.block().empty());
  EXPECT_FALSE(in.ok());
}

}  // namespace
}  // namespace headrace
