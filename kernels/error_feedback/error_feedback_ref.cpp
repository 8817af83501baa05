#include "base/check.hpp"
#include "kernels/error_feedback/error_feedback.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/top_k/top_k.hpp"

#include <algorithm>

namespace headrace::kernels {

void sparsify_ref(const sparsify_args& args) {
  CHECK(args.residuals.size() == args.gradients.size());
  CHECK(args.codes.size() == args.indices.size());
  CHECK(args.scales.size() == sparse_scales(args.indices.size()));
  for (std::size_t i = 0; i < args.residuals.size(); ++i) args.residuals[i] += args.gradients[i];
  top_k_ref({.values = args.residuals,
             .indices = args.indices,
             .selected = args.selected,
             .workspace = args.workspace});
  const std::size_t k = args.indices.size();
  for (std::size_t begin = 0; begin < k; begin += sparse_block) {
    const std::size_t size = std::min(sparse_block, k - begin);
    const std::size_t block = begin / sparse_block;
    quantize_rows_ref({.values = args.selected.subspan(begin, size),
                       .codes = args.codes.subspan(begin, size),
                       .scales = args.scales.subspan(block, 1),
                       .dim = size});
    const float scale = half_to_float(args.scales[block]);
    for (std::size_t i = begin; i < begin + size; ++i) {
      args.residuals[args.indices[i]] -= static_cast<float>(args.codes[i]) * scale;
    }
  }
}

void add_sparse_ref(const add_sparse_args& args) {
  CHECK(args.codes.size() == args.indices.size());
  CHECK(args.scales.size() == sparse_scales(args.indices.size()));
  for (std::size_t i = 0; i < args.indices.size(); ++i) {
    const float scale = half_to_float(args.scales[i / sparse_block]);
    args.values[args.indices[i]] += static_cast<float>(args.codes[i]) * scale;
  }
}

}  // namespace headrace::kernels
