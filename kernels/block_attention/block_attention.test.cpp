#include "kernels/block_attention/block_attention.hpp"

#include "kernels/attention/attention_cases.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace headrace::kernels {
namespace {

/// The inputs of an attention case in blocks; outputs and room of exactly the size that is asked
/// for, poisoned.
template <class Value>
struct block_case {
  block_case(const attention_shape& shape, std::size_t block_size)
      : of(shape), block(block_size), o(of.o.span().size(), poison<Value>) {
    for (const std::size_t n : shape.lengths) longest = std::max(longest, n);
    const auto needs = block_attention_needs(of.tokens,
                                             shape.lengths.size(),
                                             longest,
                                             shape.heads,
                                             shape.kv_heads,
                                             shape.head_dim,
                                             block);
    saved.assign(needs.saved, poison<Value>);
    workspace.assign(needs.workspace, poison<Value>);
    words.assign(needs.words, 0xFFFFFFFFU);
  }
  basic_block_attention_args<Value> args() {
    const auto given = of.forward_args();
    return {.q = given.q,
            .q_stride = given.q_stride,
            .k = given.k,
            .k_stride = given.k_stride,
            .v = given.v,
            .v_stride = given.v_stride,
            .offsets = given.offsets,
            .heads = given.heads,
            .kv_heads = given.kv_heads,
            .head_dim = given.head_dim,
            .scale = given.scale,
            .causal = given.mask.causal,
            .block = block,
            .o = o.data(),
            .o_stride = given.o_stride,
            .saved = saved,
            .workspace = workspace,
            .words = words};
  }
  template <class Op>
  void forward(const Op& op) {
    std::ranges::fill(o, poison<Value>);
    op(args());
  }
  template <class Op>
  void backward(const Op& op) {
    std::ranges::fill(workspace, poison<Value>);
    const auto given = of.backward_args();
    op(basic_block_attention_backward_args<Value>{.forward = args(),
                                                  .d_o = given.d_o,
                                                  .d_o_stride = given.d_o_stride,
                                                  .dq = given.dq,
                                                  .dq_stride = given.dq_stride,
                                                  .dk = given.dk,
                                                  .dk_stride = given.dk_stride,
                                                  .dv = given.dv,
                                                  .dv_stride = given.dv_stride});
  }

  attention_case<Value> of;
  std::size_t block;
  std::size_t longest = 0;
  std::vector<Value> o;
  std::vector<Value> saved;
  std::vector<Value> workspace;
  std::vector<std::uint32_t> words;
};

const std::vector<attention_shape>& shapes() {
  static const std::vector<attention_shape> all = {
      {.lengths = {1}},
      {.lengths = {12}, .mask = {.causal = true}},
      {.lengths = {7, 0, 30, 1}, .heads = 4, .kv_heads = 2, .head_dim = 5},
      {.lengths = {33, 70}, .heads = 3, .kv_heads = 3, .head_dim = 16, .mask = {.causal = true}}};
  return all;
}

void forward_ref(auto& one) {
  one.forward([](const auto& args) { block_attention_ref(args); });
}
void backward_ref(auto& one) {
  one.backward([](const auto& args) { block_attention_backward_ref(args); });
}

/// softmax of scores over what `seen` admits, times values: one query, straight from the
/// definition.
std::vector<double> attend(const std::vector<double>& query,
                           const std::vector<std::vector<double>>& keys,
                           const std::vector<std::vector<double>>& values,
                           double scale) {
  std::vector<double> o(query.size(), 0.0);
  double sum = 0.0;
  for (std::size_t j = 0; j < keys.size(); ++j) {
    double score = 0.0;
    for (std::size_t c = 0; c < query.size(); ++c) score += scale * query[c] * keys[j][c];
    sum += std::exp(score);
    for (std::size_t c = 0; c < query.size(); ++c) o[c] += std::exp(score) * values[j][c];
  }
  for (double& value : o) value /= sum;
  return o;
}

using vectors = std::vector<std::vector<double>>;

/// One head of one sequence: its tokens' queries, keys and values.
struct head_rows {
  vectors q, k, v;
};
head_rows rows_of(block_case<double>& one, std::size_t s, std::size_t h) {
  const auto args = one.args();
  const std::size_t kv = h / (args.heads / args.kv_heads);
  const auto row = [&](const double* from, std::size_t stride, std::size_t t, std::size_t head) {
    const double* begin = from + t * stride + head * args.head_dim;
    return std::vector<double>(begin, begin + args.head_dim);
  };
  head_rows rows;
  for (std::size_t t = args.offsets[s]; t < args.offsets[s + 1]; ++t) {
    rows.q.push_back(row(args.q, args.q_stride, t, h));
    rows.k.push_back(row(args.k, args.k_stride, t, kv));
    rows.v.push_back(row(args.v, args.v_stride, t, kv));
  }
  return rows;
}
std::vector<double> mean(const vectors& rows, std::size_t begin, std::size_t end) {
  std::vector<double> sum(rows[0].size(), 0.0);
  for (std::size_t t = begin; t < end; ++t)
    for (std::size_t c = 0; c < sum.size(); ++c)
      sum[c] += rows[t][c] / static_cast<double>(end - begin);
  return sum;
}
vectors slice(const vectors& rows, std::size_t begin, std::size_t end) {
  return {rows.begin() + static_cast<std::ptrdiff_t>(begin),
          rows.begin() + static_cast<std::ptrdiff_t>(end)};
}

/// o of one token, from the text of the header.
std::vector<double> token_of(
    const head_rows& rows, std::size_t t, std::size_t block, bool causal, double scale) {
  const std::size_t n = rows.q.size();
  const std::size_t begin = t / block * block;
  const std::size_t end = causal ? t + 1 : std::min(begin + block, n);
  auto o = attend(rows.q[t], slice(rows.k, begin, end), slice(rows.v, begin, end), scale);
  const std::size_t b = t / block;
  if (causal && b == 0) return o;
  const std::size_t reader = causal ? b - 1 : b;
  const std::size_t blocks = causal ? b : (n + block - 1) / block;
  head_rows means;
  for (std::size_t i = 0; i < blocks; ++i) {
    const std::size_t last = std::min((i + 1) * block, n);
    means.q.push_back(mean(rows.q, i * block, last));
    means.k.push_back(mean(rows.k, i * block, last));
    means.v.push_back(mean(rows.v, i * block, last));
  }
  const auto far = attend(means.q[reader], means.k, means.v, scale);
  for (std::size_t c = 0; c < o.size(); ++c) o[c] += far[c];
  return o;
}

TEST(BlockAttention, IsWhatItsHeaderSays) {
  for (const attention_shape& shape : shapes()) {
    for (const std::size_t block : {1U, 3U, 8U, 100U}) {
      SCOPED_TRACE(describe(shape) + ", block " + std::to_string(block));
      block_case<double> one(shape, block);
      forward_ref(one);
      const auto args = one.args();
      for (std::size_t s = 0; s < shape.lengths.size(); ++s) {
        for (std::size_t h = 0; h < shape.heads; ++h) {
          const head_rows rows = rows_of(one, s, h);
          for (std::size_t t = 0; t < rows.q.size(); ++t) {
            const auto wanted = token_of(rows, t, block, shape.mask.causal, args.scale);
            const std::size_t at = (args.offsets[s] + t) * args.o_stride + h * shape.head_dim;
            for (std::size_t c = 0; c < shape.head_dim; ++c)
              ASSERT_NEAR(one.o[at + c], wanted[c], 1e-12) << s << " " << h << " " << t;
          }
        }
      }
    }
  }
}

TEST(BlockAttention, GradientsAreDifferencesOfTheReference) {
  for (const attention_shape& shape : shapes()) {
    if (shape.head_dim > 8) continue;  // enough, and quick
    for (const std::size_t block : {2U, 5U}) {
      SCOPED_TRACE(describe(shape) + ", block " + std::to_string(block) +
                   ", HEADRACE_SEED=" + std::to_string(test_seed()));
      block_case<double> one(shape, block);
      forward_ref(one);
      backward_ref(one);
      const auto loss = [&one] {
        forward_ref(one);
        double sum = 0.0;
        for (std::size_t i = 0; i < one.o.size(); ++i) sum += one.o[i] * one.of.d_o.span()[i];
        return sum;
      };
      const auto inputs = one.of.qkv.span();
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        if (std::isnan(inputs[i])) continue;
        const double kept = inputs[i];
        constexpr double h = 1e-5;
        inputs[i] = kept + h;
        const double above = loss();
        inputs[i] = kept - h;
        const double below = loss();
        inputs[i] = kept;
        const double expected = (above - below) / (2 * h);
        ASSERT_NEAR(one.of.gradients.span()[i], expected, 1e-6 * (1.0 + std::abs(expected))) << i;
      }
    }
  }
}

TEST(BlockAttention, StaysWithinItsBoundOfTheDoubleReference) {
  for (const attention_shape& shape : shapes()) {
    for (const std::size_t block : {1U, 3U, 16U, 100U}) {
      SCOPED_TRACE(describe(shape) + ", block " + std::to_string(block));
      block_case<double> exact(shape, block);
      forward_ref(exact);
      backward_ref(exact);
      for_each_cpu_target([&] {
        block_case<float> one(shape, block);
        one.forward([](const auto& args) { block_attention_cpu(args); });
        one.backward([](const auto& args) { block_attention_backward_cpu(args); });
        const std::vector<double> o(one.o.begin(), one.o.end());
        EXPECT_LE(error_norm(o, exact.o), 1e-5 * norm(exact.o));
        EXPECT_LE(error_norm(one.of.dq(), exact.of.dq()), 2e-5 * norm(exact.of.dq()) + 1e-5);
        EXPECT_LE(error_norm(one.of.dk(), exact.of.dk()), 2e-5 * norm(exact.of.dk()) + 1e-5);
        EXPECT_LE(error_norm(one.of.dv(), exact.of.dv()), 2e-5 * norm(exact.of.dv()) + 1e-5);
      });
    }
  }
}

// One block: nothing far in front of it, or a summary that is the only one.
TEST(BlockAttention, OfOneBlockIsPlainAttention) {
  for (attention_shape shape : shapes()) {
    for (const bool causal : {true, false}) {
      shape.mask.causal = causal;
      SCOPED_TRACE(describe(shape));
      block_case<float> one(shape, 70);
      one.forward([](const auto& args) { block_attention_cpu(args); });
      one.of.forward([](const attention_args& args) { attention_cpu(args); });
      const auto plain = one.of.o.span();
      if (causal) {
        EXPECT_TRUE(std::ranges::equal(one.o, plain));
        continue;
      }
      const auto args = one.args();
      for (std::size_t s = 0; s < shape.lengths.size(); ++s) {
        for (std::size_t c = 0; c < args.heads * args.head_dim; ++c) {
          const std::size_t head = c / args.head_dim / (args.heads / args.kv_heads);
          double sum = 0.0;
          for (std::size_t t = args.offsets[s]; t < args.offsets[s + 1]; ++t)
            sum += static_cast<double>(
                args.v[t * args.v_stride + head * args.head_dim + c % args.head_dim]);
          for (std::size_t t = args.offsets[s]; t < args.offsets[s + 1]; ++t)
            ASSERT_NEAR(one.o[t * args.o_stride + c] - plain[t * args.o_stride + c],
                        sum / static_cast<double>(shape.lengths[s]),
                        1e-5);
        }
      }
    }
  }
}

TEST(BlockAttention, ACausalTokenDoesNotSeeWhatFollows) {
  const attention_shape shape = {.lengths = {20}, .mask = {.causal = true}};
  block_case<float> one(shape, 4);
  one.forward([](const auto& args) { block_attention_cpu(args); });
  const auto before = one.o;
  constexpr std::size_t changed = 9;  // in the middle of the third block
  for (std::size_t c = 0; c < 32; ++c) {
    float& value = one.of.qkv.span()[changed * one.of.stride + c];
    if (!std::isnan(value)) value += 1.0F;
  }
  one.forward([](const auto& args) { block_attention_cpu(args); });
  const std::size_t width = one.of.q_width;
  EXPECT_TRUE(std::equal(before.begin(), before.begin() + changed * width, one.o.begin()));
  EXPECT_FALSE(std::equal(before.begin() + 12 * width, before.end(), one.o.begin() + 12 * width));
}

}  // namespace
}  // namespace headrace::kernels
