#include "kernels/gemm/gemm.hpp"
#include "kernels/target_attention/blocks.hpp"
#include "kernels/target_attention/check_args.hpp"
#include "kernels/target_attention/target_attention.hpp"

#include <algorithm>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/target_attention/target_attention_backward_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
#include "kernels/target_attention/parts-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {
namespace target_parts {

inline pieces cut_backward(std::span<float> workspace,
                           std::size_t dim,
                           std::size_t hidden,
                           std::size_t longest) {
  const std::size_t block = dim * hidden;
  pieces space = cut(workspace, dim, hidden);
  float* at = space.gemm.data();
  space.sample_gradients = at;
  space.joint_gradients = at += block;
  space.target_gradients = at += block;
  space.dz = at += block;
  space.ds = at += longest * hidden;
  space.gemm = space.gemm.subspan(3 * block + longest * (hidden + 1));
  return space;
}

/// ds of the sample's tokens, in place of da.
inline void through_softmax(const float* a, std::size_t length, float* ds) {
  double mean = 0.0;
  for (std::size_t j = 0; j < length; ++j)
    mean += static_cast<double>(a[j]) * static_cast<double>(ds[j]);
  for (std::size_t j = 0; j < length; ++j) ds[j] = a[j] * (ds[j] - static_cast<float>(mean));
}

/// dz of a token; adds to the gradients of u and to Σ dz.
template <target_activation activation>
HWY_INLINE void through_activation(const float* activated,
                                   const float* u,
                                   float ds,
                                   std::size_t hidden,
                                   float* dz,
                                   float* u_gradients,
                                   float* dz_sum) {
  for_columns(0, hidden, [=](auto d, std::size_t h) HWY_ATTR {
    const auto score_gradient = hn::Set(d, ds);
    const auto value = hn::LoadU(d, activated + h);
    auto gradient = hn::Mul(score_gradient, hn::LoadU(d, u + h));
    if constexpr (activation == target_activation::relu) {
      gradient = hn::IfThenElseZero(hn::Gt(value, hn::Zero(d)), gradient);
    } else {
      gradient = hn::Mul(gradient, hn::Mul(value, hn::Sub(hn::Set(d, 1.0F), value)));
    }
    hn::StoreU(gradient, d, dz + h);
    const auto u_sum = hn::LoadU(d, u_gradients + h);
    hn::StoreU(hn::MulAdd(score_gradient, value, u_sum), d, u_gradients + h);
    hn::StoreU(hn::Add(gradient, hn::LoadU(d, dz_sum + h)), d, dz_sum + h);
  });
}

/// history_gradients = a_j g + dz sampleᵀ.
inline void write_history_gradients(const target_attention_backward_args& args,
                                    std::size_t s,
                                    const pieces& space) {
  const target_attention_args& in = args.forward;
  const std::size_t first = in.offsets[s];
  const std::size_t length = in.offsets[s + 1] - first;
  const float* g = args.o_gradients.data() + s * in.dim;
  float* to = args.history_gradients.data() + first * in.dim;
  for (std::size_t j = 0; j < length; ++j) {
    float* row = to + j * in.dim;
    const float a = in.attention[first + j];
    for_columns(0, in.dim, [row, g, a](auto d, std::size_t c) HWY_ATTR {
      hn::StoreU(hn::Mul(hn::Set(d, a), hn::LoadU(d, g + c)), d, row + c);
    });
  }
  gemm({.a = space.dz,
        .a_stride = in.hidden,
        .b = space.sample,
        .b_stride = in.hidden,
        .b_transposed = true,
        .c = to,
        .c_stride = in.dim,
        .m = length,
        .n = in.dim,
        .k = in.hidden,
        .accumulate = true,
        .workspace = space.gemm});
}

/// From the gradients of the sample's matrix and constant: those of t, W₄, W₁ + W₃ and W₂ - W₃.
inline void scatter_sample(const target_attention_backward_args& args,
                           std::size_t s,
                           const weight_blocks& w,
                           const pieces& space) {
  const target_attention_args& in = args.forward;
  float* product_gradients = args.first_weight_gradients.data() + 3 * in.dim * in.hidden;
  for (std::size_t c = 0; c < in.dim; ++c) {
    const float t = in.targets[s * in.dim + c];
    const std::size_t row = c * in.hidden;
    const auto add_row = [&](auto d, std::size_t h, auto lanes) HWY_ATTR {
      const std::size_t i = row + h;
      const auto value = hn::Set(d, t);
      const auto sample = hn::LoadU(d, space.sample_gradients + i);
      const auto dz = hn::LoadU(d, space.constant + h);
      const auto add = [d](auto a, auto b, float* to)
                           HWY_ATTR { hn::StoreU(hn::MulAdd(a, b, hn::LoadU(d, to)), d, to); };
      add(value, sample, product_gradients + i);
      add(hn::Set(d, 1.0F), sample, space.joint_gradients + i);
      add(value, dz, space.target_gradients + i);
      lanes = hn::MulAdd(hn::LoadU(d, space.target + i), dz, lanes);
      return hn::MulAdd(hn::LoadU(d, w.product + i), sample, lanes);
    };
    args.target_gradients[s * in.dim + c] = sum_columns(in.hidden, add_row);
  }
}

template <target_activation activation>
void backward_sample(const target_attention_backward_args& args,
                     std::size_t s,
                     const weight_blocks& w,
                     const pieces& space) {
  const target_attention_args& in = args.forward;
  const std::size_t first = in.offsets[s];
  const std::size_t length = in.offsets[s + 1] - first;
  const float* history = in.history.data() + first * in.dim;
  gemm({.a = history,
        .a_stride = in.dim,
        .b = args.o_gradients.data() + s * in.dim,
        .b_stride = 1,
        .c = space.ds,
        .c_stride = 1,
        .m = length,
        .n = 1,
        .k = in.dim,
        .workspace = space.gemm});
  if (in.softmax) through_softmax(in.attention.data() + first, length, space.ds);
  std::fill_n(space.constant, in.hidden, 0.0F);
  float bias_gradient = 0.0F;
  for (std::size_t j = 0; j < length; ++j) {
    bias_gradient += space.ds[j];
    through_activation<activation>(in.activations.data() + (first + j) * in.hidden,
                                   in.second_weights.data(),
                                   space.ds[j],
                                   in.hidden,
                                   space.dz + j * in.hidden,
                                   args.second_weight_gradients.data(),
                                   space.constant);
  }
  if (!args.second_bias_gradients.empty()) args.second_bias_gradients[0] += bias_gradient;
  for (std::size_t h = 0; h < in.hidden; ++h) args.first_bias_gradients[h] += space.constant[h];
  multiply_over_tokens({.a = history,
                        .a_stride = in.dim,
                        .a_transposed = true,
                        .b = space.dz,
                        .b_stride = in.hidden,
                        .c = space.sample_gradients,
                        .c_stride = in.hidden,
                        .m = in.dim,
                        .n = in.hidden,
                        .workspace = space.gemm},
                       length);
  make_sample(w, in.targets.data() + s * in.dim, in.dim, in.hidden, space);
  write_history_gradients(args, s, space);
  scatter_sample(args, s, w, space);
}

/// dW₁ += joint, dW₂ += target, dW₃ += joint - target.
inline void add_blocks(std::size_t block, const pieces& space, float* gradients) {
  for_columns(0, block, [&space, block, gradients](auto d, std::size_t i) HWY_ATTR {
    const auto joint = hn::LoadU(d, space.joint_gradients + i);
    const auto target = hn::LoadU(d, space.target_gradients + i);
    const auto add = [d](auto term, float* to)
                         HWY_ATTR { hn::StoreU(hn::Add(hn::LoadU(d, to), term), d, to); };
    add(joint, gradients + i);
    add(target, gradients + block + i);
    add(hn::Sub(joint, target), gradients + 2 * block + i);
  });
}

template <target_activation activation>
void backward_all(const target_attention_backward_args& args, const pieces& space) {
  const target_attention_args& in = args.forward;
  const std::size_t block = in.dim * in.hidden;
  const weight_blocks w(in.first_weights, block);
  combine(w, block, space);
  std::fill_n(space.joint_gradients, block, 0.0F);
  std::fill_n(space.target_gradients, block, 0.0F);
  for (std::size_t s = 0; s + 1 < in.offsets.size(); ++s) {
    if (in.offsets[s] == in.offsets[s + 1]) {
      std::fill_n(args.target_gradients.data() + s * in.dim, in.dim, 0.0F);
    } else {
      backward_sample<activation>(args, s, w, space);
    }
  }
  add_blocks(block, space, args.first_weight_gradients.data());
}

}  // namespace target_parts

void target_attention_backward_target(const target_attention_backward_args& args,
                                      std::size_t longest) {
  const target_parts::pieces space =
      target_parts::cut_backward(args.workspace, args.forward.dim, args.forward.hidden, longest);
  if (args.forward.activation == target_activation::relu) {
    target_parts::backward_all<target_activation::relu>(args, space);
  } else {
    target_parts::backward_all<target_activation::sigmoid>(args, space);
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(target_attention_backward_target);

std::size_t target_attention_backward_workspace(std::size_t dim,
                                                std::size_t hidden,
                                                std::size_t longest) {
  const std::size_t products = std::max({gemm_workspace(longest, 1, dim),
                                         gemm_workspace(longest, dim, hidden),
                                         over_tokens_workspace(dim, hidden, longest)});
  return 6 * dim * hidden + hidden + longest * (hidden + 1) + products;
}

void target_attention_backward_cpu(const target_attention_backward_args& args) {
  check_target_attention_backward(args);
  const target_attention_args& in = args.forward;
  const std::size_t longest = longest_history(in);
  CHECK(args.workspace.size() >= target_attention_backward_workspace(in.dim, in.hidden, longest));
  HWY_DYNAMIC_DISPATCH(target_attention_backward_target)(args, longest);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
