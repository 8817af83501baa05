#include "base/random.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/softmax_loss/sampled_softmax.hpp"
#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

namespace headrace::worker {
namespace {

constexpr std::size_t block = 256;  // positions whose scores are in memory at once
constexpr std::uint64_t draw_seed = 0x6E657874;

// Each token of a list predicts the one behind it: softmax cross-entropy of its state's products
// with the vectors of items, summed over tokens (kernels/softmax_loss/sampled_softmax.hpp). Inputs:
// states [tokens, dim], and the rows of the items.
//
// Against the next item stand `negatives`, the same for all of a chunk, drawn with replacement from
// the rows that the batch has; those in the sample's own list are left out for it. What it gives
// for a sample is the probability of its next items among the drawn, their geometric mean; 1 for a
// list of less than two.
class next_item_layer final : public layer {
 public:
  next_item_layer(const value_shape& rows, std::size_t negatives)
      : first_(rows.first_order), dim_(rows.dim - rows.first_order), negatives_(negatives) {
    heads = {loss_head{}};  // its figures stand in the place of the first label's
  }

  bool is_loss() const override { return true; }
  bool backward_reads_inputs() const override { return true; }
  std::size_t chunk_saved(const chunk_size& size) const override {
    return size.tokens * candidates();  // gradients of the scores
  }
  std::size_t chunk_workspace(const chunk_size& size) const override {
    const std::size_t gemm = std::max({kernels::gemm_workspace(block, negatives_, dim_),
                                       kernels::gemm_workspace(size.tokens, dim_, negatives_),
                                       kernels::gemm_workspace(negatives_, dim_, size.tokens)});
    return 2 * negatives_ * dim_ + block * candidates() + 2 * size.tokens + gemm;
  }
  layer_cost chunk_cost(const chunk_size& size) const override {
    const double forward = 2.0 * static_cast<double>(size.tokens * candidates() * dim_);
    return {forward, 2.0 * forward};
  }

  double forward(const layer_run& run) const override {
    const pieces space = cut(run);
    const std::size_t tokens = run.offsets.back();
    gather(run, space.items);
    std::ranges::fill(space.weights, 1.0F);
    for (std::size_t s = 0; s < run.samples; ++s)
      if (run.offsets[s] < run.offsets[s + 1]) space.weights[run.offsets[s + 1] - 1] = 0.0F;
    double loss = 0.0;
    std::size_t sample = 0;
    for (std::size_t begin = 0; begin < tokens; begin += block) {
      const std::size_t count = std::min(block, tokens - begin);
      score(run, space, begin, count);
      sample = leave_out(run, space, sample, begin, count);
      loss += kernels::sampled_softmax(
          {.scores = space.scores.first(count * candidates()),
           .weights = space.weights.subspan(begin, count),
           .candidates = candidates(),
           .losses = space.losses.subspan(begin, count),
           .score_gradients = run.saved.subspan(begin * candidates(), count * candidates())});
    }
    for (std::size_t s = 0; s < run.samples; ++s) run.output[s] = probability(run, space, s);
    return loss;
  }

  void backward(const layer_run& run) const override {
    const std::size_t tokens = run.offsets.back();
    if (tokens == 0) return;
    const pieces space = cut(run);
    gather(run, space.items);
    const float* const gradients = run.saved.data() + 1;  // of the negatives
    kernels::gemm({.a = gradients,
                   .a_stride = candidates(),
                   .b = space.items.data(),
                   .b_stride = dim_,
                   .c = run.input_gradients[0].data(),
                   .c_stride = dim_,
                   .m = tokens,
                   .n = dim_,
                   .k = negatives_,
                   .workspace = space.gemm});
    kernels::gemm({.a = gradients,
                   .a_stride = candidates(),
                   .a_transposed = true,
                   .b = run.inputs[0].data(),
                   .b_stride = dim_,
                   .c = space.item_gradients.data(),
                   .c_stride = dim_,
                   .m = negatives_,
                   .n = dim_,
                   .k = tokens,
                   .workspace = space.gemm});
    for (std::size_t j = 0; j < negatives_; ++j)
      add(gradient_of(run, drawn(run, j)), space.item_gradients.data() + j * dim_, 1.0F);
    for_each_pair(run, 0, tokens, [&](std::size_t token, std::uint32_t next) {
      const float g = run.saved[token * candidates()];
      add(run.input_gradients[0].data() + token * dim_, vector_of(run, next), g);
      add(gradient_of(run, next), run.inputs[0].data() + token * dim_, g);
    });
  }

 private:
  struct pieces {
    std::span<float> items;           // [negatives, dim]
    std::span<float> item_gradients;  // [negatives, dim]
    std::span<float> scores;          // [block, candidates], the next item's first
    std::span<float> weights;         // [tokens] 0 for the newest of a list
    std::span<float> losses;          // [tokens]
    std::span<float> gemm;
  };

  std::size_t candidates() const { return 1 + negatives_; }
  const float* vector_of(const layer_run& run, std::uint32_t row) const {
    return run.lookups[1].rows.data() + row * run.lookups[1].width + first_;
  }
  float* gradient_of(const layer_run& run, std::uint32_t row) const {
    return run.lookups[1].gradients.data() + row * run.lookups[1].width + first_;
  }
  void add(float* to, const float* from, float times) const {
    for (std::size_t c = 0; c < dim_; ++c) to[c] += times * from[c];
  }

  pieces cut(const layer_run& run) const {
    const std::size_t tokens = run.offsets.back();
    std::span<float> rest = run.workspace;
    const auto take = [&rest](std::size_t floats) {
      const auto taken = rest.first(floats);
      rest = rest.subspan(floats);
      return taken;
    };
    pieces space;
    space.items = take(negatives_ * dim_);
    space.item_gradients = take(negatives_ * dim_);
    space.scores = take(block * candidates());
    space.weights = take(tokens);
    space.losses = take(tokens);
    space.gemm = rest;
    return space;
  }

  // The row of negative j.
  static std::uint32_t drawn(const layer_run& run, std::size_t j) {
    const lookup_view& rows = run.lookups[1];
    const std::size_t unique = rows.rows.size() / rows.width;
    return static_cast<std::uint32_t>(counter_draw(draw_seed, run.draw_key, j) % unique);
  }

  void gather(const layer_run& run, std::span<float> items) const {
    if (run.lookups[1].rows.empty()) return;  // no list has an id
    for (std::size_t j = 0; j < negatives_; ++j)
      std::memcpy(items.data() + j * dim_, vector_of(run, drawn(run, j)), dim_ * sizeof(float));
  }

  // take(token, row of the next) for the tokens [begin, end) that have one behind them.
  template <class Take>
  static void for_each_pair(const layer_run& run,
                            std::size_t begin,
                            std::size_t end,
                            const Take& take) {
    for (std::size_t s = 0; s + 1 < run.offsets.size(); ++s) {
      const std::size_t first = std::max<std::size_t>(run.offsets[s], begin);
      for (std::size_t t = first; t < end && t + 1 < run.offsets[s + 1]; ++t)
        take(t, run.lookups[1].tokens[t + 1]);
    }
  }

  void score(const layer_run& run,
             const pieces& space,
             std::size_t begin,
             std::size_t count) const {
    const float* const states = run.inputs[0].data() + begin * dim_;
    kernels::gemm({.a = states,
                   .a_stride = dim_,
                   .b = space.items.data(),
                   .b_stride = dim_,
                   .b_transposed = true,
                   .c = space.scores.data() + 1,
                   .c_stride = candidates(),
                   .m = count,
                   .n = negatives_,
                   .k = dim_,
                   .workspace = space.gemm});
    for_each_pair(run, begin, begin + count, [&](std::size_t token, std::uint32_t next) {
      const float* const state = run.inputs[0].data() + token * dim_;
      space.scores[(token - begin) * candidates()] =
          std::inner_product(state, state + dim_, vector_of(run, next), 0.0F);
    });
  }

  // Scores of negatives that the sample has itself become -infinity, in samples from `sample` on
  // that reach into the block. Returns the first that the next block may hold.
  std::size_t leave_out(const layer_run& run,
                        const pieces& space,
                        std::size_t sample,
                        std::size_t begin,
                        std::size_t count) const {
    while (sample < run.samples && run.offsets[sample + 1] <= begin) ++sample;
    for (std::size_t s = sample; s < run.samples && run.offsets[s] < begin + count; ++s) {
      const std::size_t first = std::max<std::size_t>(run.offsets[s], begin);
      const std::size_t end = std::min<std::size_t>(run.offsets[s + 1], begin + count);
      const auto own =
          run.lookups[1].tokens.subspan(run.offsets[s], run.offsets[s + 1] - run.offsets[s]);
      for (std::size_t j = 0; j < negatives_; ++j) {
        if (std::ranges::find(own, drawn(run, j)) == own.end()) continue;
        for (std::size_t t = first; t < end; ++t)
          space.scores[(t - begin) * candidates() + 1 + j] =
              -std::numeric_limits<float>::infinity();
      }
    }
    return sample;
  }

  static float probability(const layer_run& run, const pieces& space, std::size_t s) {
    const std::size_t length = run.offsets[s + 1] - run.offsets[s];
    if (length < 2) return 1.0F;
    const auto losses = space.losses.subspan(run.offsets[s], length - 1);
    const double sum = std::accumulate(losses.begin(), losses.end(), 0.0);
    return static_cast<float>(std::exp(-sum / static_cast<double>(length - 1)));
  }

  std::size_t first_;
  std::size_t dim_;
  std::size_t negatives_;
};

}  // namespace

result<std::unique_ptr<layer>> make_next_item(const layer_section& section) {
  const auto negatives =
      static_cast<std::size_t>(section.config.whole(section.key("negatives"), 256, {1, 4096}));
  if (auto fits = expect_list(section, 2); !fits) return fits.error();
  const value_shape& states = section.inputs[0];
  const value_shape& rows = section.inputs[1];
  if (!rows.rows || rows.fields > 0 || rows.lists != std::vector{*states.list})
    return error{errc::bad_config,
                 "its second input is the rows of the list's items and of nothing else: a layer "
                 "with op = \"rows\" and that list as its one feature"};
  if (states.columns() != rows.dim - rows.first_order)
    return error{errc::bad_config,
                 "multiplies states with vectors of items: these have " +
                     std::to_string(rows.dim - rows.first_order) + " values, a state has " +
                     std::to_string(states.columns())};
  return std::unique_ptr<layer>(std::make_unique<next_item_layer>(rows, negatives));
}

}  // namespace headrace::worker
