#include "kernels/gemm/gemm.hpp"
#include "kernels/target_attention/blocks.hpp"
#include "kernels/target_attention/check_args.hpp"
#include "kernels/target_attention/target_attention.hpp"

#include <algorithm>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/target_attention/target_attention_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include "kernels/runtime/columns-inl.hpp"
#include "kernels/target_attention/parts-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {
namespace target_parts {

template <class D, class V>
HWY_INLINE V sigmoid(D d, V z) {
  const auto one = hn::Set(d, 1.0F);
  const auto e = hn::Exp(d, hn::Neg(hn::Abs(z)));
  return hn::Div(hn::IfThenElse(hn::Ge(z, hn::Zero(d)), one, e), hn::Add(one, e));
}

/// z [hidden] becomes φ(z + constant); returns its product with u.
template <target_activation activation>
HWY_INLINE float activate(const float* constant, const float* u, std::size_t hidden, float* z) {
  return sum_columns(hidden, [constant, u, z](auto d, std::size_t h, auto lanes) HWY_ATTR {
    const auto sum = hn::Add(hn::LoadU(d, z + h), hn::LoadU(d, constant + h));
    auto activated = hn::Max(sum, hn::Zero(d));
    if constexpr (activation == target_activation::sigmoid) activated = sigmoid(d, sum);
    hn::StoreU(activated, d, z + h);
    return hn::MulAdd(activated, hn::LoadU(d, u + h), lanes);
  });
}

inline void softmax(float* a, std::size_t n) {
  float largest = a[0];
  for (std::size_t j = 1; j < n; ++j) largest = std::max(largest, a[j]);
  for_columns(0, n, [a, largest](auto d, std::size_t j) HWY_ATTR {
    hn::StoreU(hn::Exp(d, hn::Sub(hn::LoadU(d, a + j), hn::Set(d, largest))), d, a + j);
  });
  double sum = 0.0;
  for (std::size_t j = 0; j < n; ++j) sum += static_cast<double>(a[j]);
  const float factor = static_cast<float>(1.0 / sum);
  for (std::size_t j = 0; j < n; ++j) a[j] *= factor;
}

/// One sample: tokens [first, first + length), length > 0.
template <target_activation activation>
void forward_sample(const target_attention_args& args,
                    std::size_t s,
                    const weight_blocks& w,
                    const pieces& space) {
  const std::size_t first = args.offsets[s];
  const std::size_t length = args.offsets[s + 1] - first;
  const float* history = args.history.data() + first * args.dim;
  const float* t = args.targets.data() + s * args.dim;
  float* activations = args.activations.data() + first * args.hidden;
  float* a = args.attention.data() + first;
  make_sample(w, t, args.dim, args.hidden, space);
  std::copy(args.first_bias.begin(), args.first_bias.end(), space.constant);
  gemm({.a = t,
        .a_stride = args.dim,
        .b = space.target,
        .b_stride = args.hidden,
        .c = space.constant,
        .c_stride = args.hidden,
        .m = 1,
        .n = args.hidden,
        .k = args.dim,
        .accumulate = true,
        .workspace = space.gemm});
  gemm({.a = history,
        .a_stride = args.dim,
        .b = space.sample,
        .b_stride = args.hidden,
        .c = activations,
        .c_stride = args.hidden,
        .m = length,
        .n = args.hidden,
        .k = args.dim,
        .workspace = space.gemm});
  const float bias = args.second_bias.empty() ? 0.0F : args.second_bias[0];
  for (std::size_t j = 0; j < length; ++j) {
    float* z = activations + j * args.hidden;
    a[j] = bias + activate<activation>(space.constant, args.second_weights.data(), args.hidden, z);
  }
  if (args.softmax) softmax(a, length);
  multiply_over_tokens({.a = a,
                        .a_stride = length,
                        .b = history,
                        .b_stride = args.dim,
                        .c = args.o.data() + s * args.dim,
                        .c_stride = args.dim,
                        .m = 1,
                        .n = args.dim,
                        .workspace = space.gemm},
                       length);
}

template <target_activation activation>
void forward_all(const target_attention_args& args, const pieces& space) {
  const std::size_t block = args.dim * args.hidden;
  const weight_blocks w(args.first_weights, block);
  combine(w, block, space);
  for (std::size_t s = 0; s + 1 < args.offsets.size(); ++s) {
    if (args.offsets[s] == args.offsets[s + 1]) {
      std::fill_n(args.o.data() + s * args.dim, args.dim, 0.0F);
    } else {
      forward_sample<activation>(args, s, w, space);
    }
  }
}

}  // namespace target_parts

void target_attention_target(const target_attention_args& args) {
  const target_parts::pieces space = target_parts::cut(args.workspace, args.dim, args.hidden);
  if (args.activation == target_activation::relu) {
    target_parts::forward_all<target_activation::relu>(args, space);
  } else {
    target_parts::forward_all<target_activation::sigmoid>(args, space);
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(target_attention_target);

std::size_t target_attention_workspace(std::size_t dim, std::size_t hidden, std::size_t longest) {
  const std::size_t products = std::max({gemm_workspace(longest, hidden, dim),
                                         gemm_workspace(1, hidden, dim),
                                         over_tokens_workspace(1, dim, longest)});
  return 3 * dim * hidden + hidden + products;
}

void target_attention_cpu(const target_attention_args& args) {
  check_target_attention(args);
  CHECK(args.o.size() == args.targets.size());
  CHECK(args.workspace.size() >=
        target_attention_workspace(args.dim, args.hidden, longest_history(args)));
  HWY_DYNAMIC_DISPATCH(target_attention_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
