#include "bench/torch/tensor_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace headrace::bench {
namespace {

TEST(TensorFile, ReadsWhatWasWrittenAndNothingOfAnotherSize) {
  const auto file = std::filesystem::path(testing::TempDir()) / "tensor_file.test";
  const std::vector<float> values = {1.5F, -0.0F, 1e-30F};
  ASSERT_TRUE(write_tensor(file, values).ok());
  EXPECT_EQ(read_tensor(file, 3).value(), values);
  EXPECT_EQ(read_tensor(file, 4).error().code, errc::malformed);
  EXPECT_EQ(read_tensor(file, 2).error().code, errc::malformed);
  std::filesystem::remove(file);
  EXPECT_EQ(read_tensor(file, 3).error().code, errc::io_error);
  EXPECT_EQ(write_tensor("/nowhere/tensor", values).error().code, errc::io_error);
}

TEST(TensorFile, RelativeDifferenceIsTheNormOfTheDifferenceOverThatOfTheSecond) {
  const std::vector<float> a = {3.0F, 4.0F};
  const std::vector<float> b = {3.0F, 0.0F};
  const std::vector<float> zero = {0.0F, 0.0F};
  const std::vector<float> none = {std::numeric_limits<float>::quiet_NaN(), 0.0F};
  EXPECT_DOUBLE_EQ(relative_difference(a, b), 4.0 / 3.0);
  EXPECT_DOUBLE_EQ(relative_difference(b, a), 4.0 / 5.0);
  EXPECT_EQ(relative_difference(a, a), 0.0);
  EXPECT_DOUBLE_EQ(relative_difference(a, zero), 5.0);
  EXPECT_TRUE(std::isnan(relative_difference(none, a)));
  EXPECT_TRUE(std::isnan(relative_difference(a, none)));
}

}  // namespace
}  // namespace headrace::bench
