#include "base/check.hpp"
#include "kernels/error_feedback/error_feedback.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/top_k/top_k.hpp"

#include <algorithm>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/error_feedback/error_feedback_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

void add_gradients_target(const float* gradients, std::size_t n, float* residuals) {
  for_columns(0, n, [=](auto d, std::size_t i) HWY_ATTR {
    hn::StoreU(hn::Add(hn::LoadU(d, residuals + i), hn::LoadU(d, gradients + i)), d, residuals + i);
  });
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(add_gradients_target);

namespace {

/// The whole blocks as rows of 256, then the short one as a row of its own length.
void quantize_blocks(const sparsify_args& args) {
  const std::size_t whole = args.indices.size() / sparse_block;
  const std::size_t rest = args.indices.size() - whole * sparse_block;
  quantize_rows({.values = args.selected.first(whole * sparse_block),
                 .codes = args.codes.first(whole * sparse_block),
                 .scales = args.scales.first(whole),
                 .dim = sparse_block});
  if (rest == 0) return;
  quantize_rows({.values = args.selected.last(rest),
                 .codes = args.codes.last(rest),
                 .scales = args.scales.last(1),
                 .dim = rest});
}

/// add(index, code * scale) for each value.
template <class Add>
void for_each_decoded(std::span<const std::uint32_t> indices,
                      std::span<const std::int8_t> codes,
                      std::span<const std::uint16_t> scales,
                      const Add& add) {
  for (std::size_t block = 0; block < scales.size(); ++block) {
    const float scale = half_to_float(scales[block]);
    const std::size_t end = std::min((block + 1) * sparse_block, indices.size());
    for (std::size_t i = block * sparse_block; i < end; ++i) {
      add(indices[i], static_cast<float>(codes[i]) * scale);
    }
  }
}

}  // namespace

void sparsify_cpu(const sparsify_args& args) {
  CHECK(args.residuals.size() == args.gradients.size());
  CHECK(args.codes.size() == args.indices.size());
  CHECK(args.scales.size() == sparse_scales(args.indices.size()));
  CHECK(args.selected.size() == args.indices.size());
  float* residuals = args.residuals.data();
  HWY_DYNAMIC_DISPATCH(add_gradients_target)
  (args.gradients.data(), args.gradients.size(), residuals);
  top_k({.values = args.residuals,
         .indices = args.indices,
         .selected = args.selected,
         .workspace = args.workspace});
  quantize_blocks(args);
  for_each_decoded(args.indices, args.codes, args.scales, [residuals](std::size_t i, float value) {
    residuals[i] -= value;
  });
}

void add_sparse_cpu(const add_sparse_args& args) {
  CHECK(args.codes.size() == args.indices.size());
  CHECK(args.scales.size() == sparse_scales(args.indices.size()));
  float* values = args.values.data();
  for_each_decoded(args.indices, args.codes, args.scales, [values](std::size_t i, float value) {
    values[i] += value;
  });
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
