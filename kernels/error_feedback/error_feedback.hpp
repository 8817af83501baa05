#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Values that share one scale in a sparse gradient.
constexpr std::size_t sparse_block = 256;

/// Scales of k sparse values.
constexpr std::size_t sparse_scales(std::size_t k) { return (k + sparse_block - 1) / sparse_block; }

/// Compresses a dense gradient to its k largest values in int8 and keeps what that loses for the
/// next one (error feedback: Seide et al., INTERSPEECH'14; Karimireddy et al., arXiv 1901.09847,
/// alg. 2).
///
/// gradients [n], n < 2^32; residuals [n] in and out, zeros at the start; k = indices.size() <= n.
/// e = residuals + gradients, rounded to float; the k values of e that top_k.hpp selects leave.
/// Out: indices [k], strictly ascending; codes [k] and scales [sparse_scales(k)] fp16 bits: the
/// selected values, in that order, by quantize_rows.hpp in blocks of 256, the last one shorter;
/// residuals = e where nothing left, else e - code * scale. selected [k], the values before
/// quantization, is scratch; workspace at least top_k_workspace().
///
/// Nothing gets lost: residuals + what add_sparse decodes equals e exactly (float holds the
/// difference, see the test), but for a block beyond 127 * 65504, which saturates and whose rest is
/// rounded to float. Each selected |residual| <= max(scale, 2^-24) / 2 * (1 + 2^-15). Bit-exact on
/// every target for finite e, which the caller provides: a residual once infinite stays so.
struct sparsify_args {
  std::span<const float> gradients;
  std::span<float> residuals;
  std::span<std::uint32_t> indices;
  std::span<std::int8_t> codes;
  std::span<std::uint16_t> scales;
  std::span<float> selected;
  std::span<std::uint32_t> workspace;
};
void sparsify_ref(const sparsify_args& args);
void sparsify_cpu(const sparsify_args& args);

inline void sparsify(const sparsify_args& args) { sparsify_cpu(args); }

/// values[indices[i]] += codes[i] * scales[i / 256]: the product is exact, the sum rounded to
/// float.
///
/// values [n], zeros for the decoded gradient itself. The caller has checked that indices ascend
/// strictly and end below n. Bit-exact on every target.
struct add_sparse_args {
  std::span<const std::uint32_t> indices;
  std::span<const std::int8_t> codes;
  std::span<const std::uint16_t> scales;
  std::span<float> values;
};
void add_sparse_ref(const add_sparse_args& args);
void add_sparse_cpu(const add_sparse_args& args);

inline void add_sparse(const add_sparse_args& args) { add_sparse_cpu(args); }

}  // namespace headrace::kernels
