#pragma once

#include "kernels/half_gemm/half_gemm.hpp"
#include "kernels/linear/linear.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

/// A dense layer (linear.hpp) whose three products are of 16-bit floats with sums in f32: x and W
/// are rounded before, dz likewise. Bias, φ and its slope, and db stay f32.
///
/// Against the f32 layer, ‖difference‖₂ / ‖result‖₂ on operands without heavy cancellation: bf16
/// 4e-3 forward, 1e-2 backward; fp16 an eighth of that while nothing over- or underflows.
namespace headrace::kernels {

/// Packs weights [in, out] for forward, and turned round for backward; once for each change of the
/// weights, not for each chunk of rows.
struct pack_linear_args {
  half_format format = half_format::bf16;
  std::span<const float> weights;
  std::size_t in = 0;
  std::size_t out = 0;
  std::span<std::uint16_t> packed;  // packed_linear_words(in, out)
};
std::size_t packed_linear_words(std::size_t in, std::size_t out);
void pack_linear(const pack_linear_args& args);

/// Room for forward as for backward; never more for fewer rows.
std::size_t half_linear_workspace(std::size_t rows, std::size_t in, std::size_t out);  // floats
std::size_t half_linear_words(std::size_t rows, std::size_t in, std::size_t out);

struct half_linear_args {
  linear_args layer;  // its weights aren't read; its workspace has half_linear_workspace floats
  half_format format = half_format::bf16;
  std::span<const std::uint16_t> packed;  // as pack_linear left it
  std::span<std::uint16_t> words;         // at least half_linear_words(rows, in, out)
};
void half_linear_forward(const half_linear_args& args);

/// dz is multiplied by `scale`, a power of two, before it is rounded, and what its products give is
/// divided by it: a loss scale (loss_scaler.hpp) where it matters, and exact. Where dz * scale
/// overflows its format, dx and dweights get values that are not finite.
struct half_linear_backward_args {
  linear_backward_args layer;  // its weights aren't read; workspace as in forward
  half_format format = half_format::bf16;
  float scale = 1.0F;
  std::span<const std::uint16_t> packed;
  std::span<std::uint16_t> words;
};
void half_linear_backward(const half_linear_backward_args& args);

}  // namespace headrace::kernels
