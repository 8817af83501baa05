#pragma once

#include "kernels/half_gemm/half_gemm.hpp"

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace headrace::worker {

/// What the products of a layer are computed in; sums are f32 in each. Parameters, activations and
/// gradients are f32 wherever they are kept.
enum class precision : std::uint8_t { f32, bf16, fp16 };

/// What a job asks for. `automatic` is bf16 where this machine has AMX, else f32.
enum class precision_choice : std::uint8_t { automatic, f32, bf16, fp16 };

/// The words for them, in job files and flags.
inline constexpr std::array<std::pair<std::string_view, precision_choice>, 4> precision_words = {
    {{"auto", precision_choice::automatic},
     {"f32", precision_choice::f32},
     {"bf16", precision_choice::bf16},
     {"fp16", precision_choice::fp16}}};

constexpr std::string_view name(precision_choice wanted) {
  for (const auto& [word, choice] : precision_words)
    if (choice == wanted) return word;
  return {};
}

constexpr std::string_view name(precision as) {
  if (as == precision::f32) return "f32";
  return as == precision::bf16 ? "bf16" : "fp16";
}

constexpr precision chosen_precision(precision_choice wanted, kernels::half_machine machine) {
  switch (wanted) {
    case precision_choice::automatic:
      return machine == kernels::half_machine::amx ? precision::bf16 : precision::f32;
    case precision_choice::f32:
      return precision::f32;
    case precision_choice::bf16:
      return precision::bf16;
    case precision_choice::fp16:
      return precision::fp16;
  }
  return precision::f32;
}

/// Whether this machine has no instructions for it, so that it is slower than f32.
constexpr bool is_emulated(precision as, kernels::half_machine machine) {
  return as == precision::fp16 ||
         (as == precision::bf16 && machine == kernels::half_machine::plain);
}

/// `as` is not f32.
constexpr kernels::half_format format_of(precision as) {
  return as == precision::bf16 ? kernels::half_format::bf16 : kernels::half_format::fp16;
}

}  // namespace headrace::worker
