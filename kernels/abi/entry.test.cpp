#include "kernels/abi/entry.hpp"

#include "base/check.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

namespace headrace::kernels::abi {
namespace {

/// Args as this library knows them.
struct sum_args {
  std::uint32_t struct_size;
  std::uint32_t flags;
  std::uint64_t count;
  const float* values;
  float* sum;
};

/// The same with a field that this library does not know yet.
struct newer_sum_args {
  sum_args known;
  std::uint64_t scale;
};

headrace_status sum(const sum_args* given) {
  return entry("sum", given, [](const sum_args& args) {
    need_array(args.values, args.count, "values");
    need_array(args.sum, 1, "sum");
    *args.sum = 0.0F;
    for (std::uint64_t i = 0; i < args.count; ++i) *args.sum += args.values[i];
  });
}

std::string last_error() { return headrace_last_error(); }

class Entry : public ::testing::Test {
 protected:
  std::array<float, 3> values_ = {1.0F, 2.0F, 4.0F};
  float sum_ = -1.0F;
  sum_args args_ = {sizeof(sum_args), 0, values_.size(), values_.data(), &sum_};
};

TEST_F(Entry, DoesItsWork) {
  EXPECT_EQ(sum(&args_), HEADRACE_OK);
  EXPECT_EQ(sum_, 7.0F);
}

TEST_F(Entry, ReadsFieldsThatAnOlderCallerLacksAsZero) {
  args_.struct_size = offsetof(sum_args, values);
  EXPECT_EQ(sum(&args_), HEADRACE_BAD_ARGUMENT);
  EXPECT_EQ(last_error(), "sum: values is null");
  args_.count = 0;  // the older caller asks for nothing of what it lacks
  EXPECT_EQ(sum(&args_), HEADRACE_BAD_ARGUMENT);
  EXPECT_EQ(last_error(), "sum: sum is null");
  EXPECT_EQ(sum_, -1.0F);
}

TEST_F(Entry, TakesALongerStructWhileWhatIsNewInItIsZero) {
  newer_sum_args newer = {args_, 0};
  newer.known.struct_size = sizeof(newer);
  EXPECT_EQ(sum(&newer.known), HEADRACE_OK);
  EXPECT_EQ(sum_, 7.0F);
  newer.scale = std::uint64_t{1} << 56;  // the last byte of all
  EXPECT_EQ(sum(&newer.known), HEADRACE_BAD_STRUCT);
  EXPECT_NE(last_error().find("field at byte 39"), std::string::npos) << last_error();
}

TEST_F(Entry, RefusesAStructWithoutItsSize) {
  args_.struct_size = 0;
  EXPECT_EQ(sum(&args_), HEADRACE_BAD_STRUCT);
  EXPECT_NE(last_error().find("struct_size is 0"), std::string::npos) << last_error();
  EXPECT_EQ(sum(nullptr), HEADRACE_BAD_ARGUMENT);
  EXPECT_EQ(last_error(), "sum: args is null");
}

TEST_F(Entry, RefusesAPointerThatIsNotAligned) {
  args_.values = reinterpret_cast<const float*>(reinterpret_cast<std::uintptr_t>(&values_) + 2);
  EXPECT_EQ(sum(&args_), HEADRACE_BAD_ARGUMENT);
  EXPECT_EQ(last_error(), "sum: values is not aligned to 4 bytes");
}

TEST_F(Entry, WhatIsThrownBecomesAStatusAndAText) {
  EXPECT_EQ(call("op", [] { throw std::bad_alloc(); }), HEADRACE_OUT_OF_MEMORY);
  EXPECT_EQ(call("op", [] { throw std::runtime_error("broken"); }), HEADRACE_INTERNAL);
  EXPECT_EQ(last_error(), "op: broken");
  EXPECT_EQ(call("op", [] { throw 5; }), HEADRACE_INTERNAL);
  EXPECT_EQ(call("op", [] { refuse(HEADRACE_UNSUPPORTED, "not here"); }), HEADRACE_UNSUPPORTED);
  EXPECT_EQ(last_error(), "op: not here");
}

TEST_F(Entry, ACheckThatFailsDoesNotEndTheProcess) {
  EXPECT_EQ(call("op", [] { CHECK(1 + 1 == 3); }), HEADRACE_INTERNAL);
  EXPECT_NE(last_error().find("CHECK failed: 1 + 1 == 3 (entry.test.cpp:"), std::string::npos)
      << last_error();
}

TEST_F(Entry, EachThreadHasItsOwnText) {
  call("here", [] { refuse(HEADRACE_UNSUPPORTED, "mine"); });
  std::thread other([] {
    EXPECT_EQ(last_error(), "");
    call("there", [] { refuse(HEADRACE_UNSUPPORTED, "theirs"); });
  });
  other.join();
  EXPECT_EQ(last_error(), "here: mine");
  call("here", [] {});
  EXPECT_EQ(last_error(), "here: mine") << "a call that succeeds leaves it";
}

TEST_F(Entry, ALongTextIsCutNotLost) {
  call("op", [] { refuse(HEADRACE_UNSUPPORTED, std::string(2'000, 'x')); });
  EXPECT_EQ(last_error().size(), 511U);
}

TEST_F(Entry, AWorkspaceIsMeasured) {
  alignas(HEADRACE_WORKSPACE_ALIGNMENT) std::array<char, 256> memory{};
  const auto needs = [&](const void* at, std::size_t bytes, std::size_t needed) {
    return call("op", [&] { need_workspace(at, bytes, needed); });
  };
  EXPECT_EQ(needs(nullptr, 0, 0), HEADRACE_OK);
  EXPECT_EQ(needs(memory.data(), 256, 256), HEADRACE_OK);
  EXPECT_EQ(needs(memory.data(), 255, 256), HEADRACE_SMALL_WORKSPACE);
  EXPECT_EQ(needs(nullptr, 256, 256), HEADRACE_SMALL_WORKSPACE);
  EXPECT_EQ(needs(memory.data() + 64, 128, 128), HEADRACE_SMALL_WORKSPACE);
  const sum_args* none = nullptr;
  EXPECT_EQ(workspace_query("op", none, [](const sum_args&) { return std::size_t{1}; }),
            HEADRACE_REFUSED);
}

TEST_F(Entry, ProductsThatDoNotFitAreRefused) {
  EXPECT_EQ(call("op", [] { product(std::uint64_t{1} << 40, 1U << 22, "rows * dim"); }),
            HEADRACE_OK);
  EXPECT_EQ(call("op", [] { product(std::uint64_t{1} << 40, 1U << 24, "rows * dim"); }),
            HEADRACE_BAD_ARGUMENT);
  EXPECT_EQ(last_error(), "op: rows * dim is too large");
}

TEST_F(Entry, AnAnswerFillsTheCallersStructAndNoMore) {
  struct answer {
    std::uint32_t struct_size;
    std::uint32_t first;
    std::uint32_t second;
    std::uint32_t beyond;
  };
  const answer whole = {0, 5, 6, 0};
  answer shorter = {8, 1, 1, 1};
  copy_answer(&whole, 12, &shorter);
  EXPECT_EQ(shorter.struct_size, 8U);
  EXPECT_EQ(shorter.first, 5U);
  EXPECT_EQ(shorter.second, 1U);
  answer longer = {16, 1, 1, 1};
  copy_answer(&whole, 12, &longer);
  EXPECT_EQ(longer.second, 6U);
  EXPECT_EQ(longer.beyond, 0U);
}

}  // namespace
}  // namespace headrace::kernels::abi
