#include "bench/torch/layer_point.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::bench {
namespace {

using testing::HasSubstr;
using testing::Not;

layer_point point() {
  return {.what = {.bench = "attention",
                   .point = "small",
                   .words = "a small one",
                   .item = "sequence",
                   .items = 8,
                   .flop = 4e9},
          .threads = 2,
          .ours = {0.25, 0.5, 0.125},
          .pytorch = {{1, {1, 2, 1}}, {2, {1.5, 1, 4}}},
          .peer = "1.13 blas",
          .gemm_flops = 32e9,
          .pytorch_gemm_flops = 30e9,
          .differences = {{"y", 1.25e-7}}};
}

TEST(LayerPoint, GivesRatesAndTheRatioOfTheMedianRound) {
  const std::string line = to_json(point(), {.weight = "none", .command = "headrace bench x"});
  EXPECT_THAT(line, HasSubstr(R"("samples_per_second":32,"samples_per_second_spread":[16,64])"));
  EXPECT_THAT(
      line,
      HasSubstr(R"("pytorch_samples_per_second":8,"pytorch_samples_per_second_spread":[8,8],)"));
  EXPECT_THAT(line, HasSubstr(R"("pytorch_by_threads":{"1":8,"2":5.333})"));
  EXPECT_THAT(line, HasSubstr(R"("ratio_to_pytorch":4,"ratio_to_pytorch_spread":[2,8])"));
  EXPECT_THAT(line, HasSubstr(R"("gflops":16,"gemm_gflops":32,"share_of_gemm":0.5)"));
  EXPECT_THAT(line, HasSubstr(R"("pytorch_gflops":4,"pytorch_gemm_gflops":30)"));
  EXPECT_THAT(line, HasSubstr(R"("relative_differences":{"y":1.25e-07})"));
  EXPECT_THAT(line, HasSubstr(R"("command":"headrace bench x")"));
  EXPECT_THAT(to_table(point()), HasSubstr("32.0 sequences/s, 16 GFLOP/s, 0.50 of our product's"));
  EXPECT_THAT(to_table(point()), HasSubstr("ratio     4.00  [2.00 .. 8.00]"));
}

TEST(LayerPoint, SaysHowMuchOfItsLimitAnOperatorReaches) {
  layer_point bound = point();
  EXPECT_THAT(to_json(bound, {}), Not(HasSubstr("limit")));
  bound.what.limit = "a copy";
  bound.what.flop = 0;
  bound.limit = {0.125, 0.25, 0.0625};
  const std::string line = to_json(bound, {});
  EXPECT_THAT(line, HasSubstr(R"("limit":"a copy","limit_samples_per_second":64)"));
  EXPECT_THAT(line, HasSubstr(R"("share_of_limit":0.5)"));
  EXPECT_THAT(line, Not(HasSubstr("gflops"))) << "it has no FLOP to speak of";
  EXPECT_THAT(to_table(bound), HasSubstr("a copy: we reach 0.50 of it"));
  EXPECT_THAT(to_table(bound), Not(HasSubstr("GFLOP")));
}

TEST(LayerPoint, LeavesTheRatioOutWherePytorchIsNot) {
  layer_point alone = point();
  alone.pytorch.clear();
  alone.peer = "no module";
  const std::string line = to_json(alone, {});
  EXPECT_THAT(line, HasSubstr(R"("ratio_to_pytorch":null)"));
  EXPECT_THAT(line, HasSubstr(R"("pytorch":"no module")"));
  EXPECT_THAT(to_table(alone), HasSubstr("not there (no module)"));
}

TEST(LayerPoint, RoundsToFourDigits) {
  json_line line;
  add_spread(line, "a", {0.00123456, 0.00123456, 1234567.0});
  EXPECT_EQ(line.text(), R"({"a":0.001235,"a_spread":[0.001235,1235000]})");
}

}  // namespace
}  // namespace headrace::bench
