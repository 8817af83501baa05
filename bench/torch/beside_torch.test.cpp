#include "bench/torch/beside_torch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <unistd.h>

namespace headrace::bench {
namespace {

using testing::HasSubstr;

/// y = factor x, once it has taken a step.
class scaling final : public layer {
 public:
  explicit scaling(float factor) : factor_(factor) {}
  void step() override {
    for (std::size_t i = 0; i < x_.size(); ++i) y_[i] = factor_ * x_[i];
    ++steps;
  }
  std::vector<layer_tensor> inputs() const override { return {{"x", x_}}; }
  std::vector<layer_tensor> outputs() const override { return {{"y", y_}}; }
  int steps = 0;

 private:
  float factor_;
  std::vector<float> x_ = {1.0F, -2.0F, 3.0F};
  std::vector<float> y_ = {0.0F, 0.0F, 0.0F};
};

/// A shell in PyTorch's place, whose layer is y = x.
constexpr const char* identity =
    "cp $0/x $0/pytorch_y; echo ready PyTorch in $2 threads at $3;"
    "while read word; do case $word in gemm) echo $2 7;; *) echo 0.$2 3 1;; esac; done";

class BesideTorch : public testing::Test {
 protected:
  BesideTorch() {
    std::signal(SIGPIPE, SIG_IGN);  // a peer that ended is an error, not the end
    std::filesystem::create_directory(folder_);
  }
  ~BesideTorch() override { std::filesystem::remove_all(folder_); }

  result<layer_point> measure(layer& ours, const char* script) {
    const layer_case what = {.bench = "test",
                             .point = "",
                             .words = "",
                             .item = "item",
                             .items = 3,
                             .flop = 3,
                             .script = script,
                             .sizes = {"33"}};
    return measure_beside_torch(
        ours,
        what,
        {.threads = 2, .seconds = 0, .rounds = 4, .python = "/bin/sh", .folder = folder_});
  }

  const std::filesystem::path folder_ = std::filesystem::path(testing::TempDir()) /
                                        ("beside_torch_test." + std::to_string(::getpid()));
};

TEST_F(BesideTorch, TakesRoundsInTurnOnceTheOutputsAgree) {
  scaling ours(1.0F);
  const auto point = measure(ours, identity);
  ASSERT_TRUE(point.ok()) << describe(point.error());
  EXPECT_EQ(point->peer, "in 2 threads at 33");
  EXPECT_EQ(point->ours.size(), 4U);
  ASSERT_EQ(point->pytorch.size(), 2U);
  for (const unsigned i : {0U, 1U}) {
    EXPECT_EQ(point->pytorch[i].threads, i + 1);
    EXPECT_EQ(point->pytorch[i].seconds, std::vector<double>(4, i == 0 ? 0.1 : 0.2));
  }
  EXPECT_EQ(best_of(point->pytorch), std::vector<double>(4, 0.1));
  EXPECT_EQ(point->pytorch_gemm_flops, 2e9);
  EXPECT_GT(point->gemm_flops, 0.0);
  EXPECT_EQ(ours.steps, 1 + 4 * 3);
  EXPECT_THAT(point->differences, testing::ElementsAre(testing::Pair("y", 0.0)));
}

TEST_F(BesideTorch, FailsWhereTheOutputsDiffer) {
  scaling within(1.0F + 5e-5F);
  EXPECT_TRUE(measure(within, identity).ok());
  scaling beyond(1.0F + 2e-4F);
  const auto point = measure(beyond, identity);
  ASSERT_FALSE(point.ok());
  EXPECT_THAT(point.error().detail, HasSubstr("y is not PyTorch's: relative difference 0.0002"));
}

TEST_F(BesideTorch, MeasuresOursAloneWherePytorchIsNot) {
  scaling ours(1.0F);
  const auto point = measure(ours, "echo absent no module");
  ASSERT_TRUE(point.ok()) << describe(point.error());
  EXPECT_THAT(point->peer, HasSubstr("no module"));
  EXPECT_TRUE(point->pytorch.empty());
  EXPECT_EQ(point->ours.size(), 4U);
}

TEST_F(BesideTorch, FailsWherePytorchEndsInARound) {
  scaling ours(1.0F);
  EXPECT_FALSE(measure(ours, "cp $0/x $0/pytorch_y; echo ready PyTorch 1; read word; echo 1").ok());
}

}  // namespace
}  // namespace headrace::bench
