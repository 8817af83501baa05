#include "bench/ops/op_bench.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <string_view>

namespace headrace::bench {
namespace {

// Whether they compute what PyTorch does, each run of the bench says: it fails where they don't.
TEST(OpBenches, EachHasANameOfItsOwnAndRunsAtSmallSizes) {
  std::set<std::string_view> names;
  for (const op_bench& which : op_benches()) {
    SCOPED_TRACE(std::string(which.name));
    EXPECT_TRUE(names.insert(which.name).second);
    EXPECT_GE(which.batch_most, which.batch);
    for (const std::size_t batch : {std::size_t{1}, std::size_t{37}}) {
      op_case made = which.make(batch);
      EXPECT_FALSE(made.what.limit.empty());
      EXPECT_FALSE(made.what.sizes.empty());
      EXPECT_FALSE(made.body->inputs().empty());
      made.body->step();
      made.body->limit();
      for (const layer_tensor& output : made.body->outputs()) {
        EXPECT_FALSE(output.values.empty()) << output.name;
        EXPECT_TRUE(std::ranges::all_of(output.values, [](float v) { return std::isfinite(v); }));
      }
    }
  }
  EXPECT_EQ(names.size(), 11U);
}

// A step is a step, whatever was before: rates would otherwise be of something else each time.
// Optimizers go on by their nature.
TEST(OpBenches, GiveTheSameOutputsAtEachStep) {
  for (const op_bench& which : op_benches()) {
    if (which.name == "sparse_update" || which.name == "adam") continue;
    SCOPED_TRACE(std::string(which.name));
    op_case made = which.make(29);
    const auto outputs = [&made] {
      made.body->step();
      std::vector<std::vector<float>> found;
      for (const layer_tensor& output : made.body->outputs())
        found.emplace_back(output.values.begin(), output.values.end());
      return found;
    };
    const auto first = outputs();
    EXPECT_EQ(outputs(), first);
  }
}

}  // namespace
}  // namespace headrace::bench
