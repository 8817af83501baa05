#pragma once

#include "kernels/gemm/gemm.hpp"

#include <algorithm>
#include <cstddef>

/// Sizes that the CPU kernels of target attention and their workspace agree on.
namespace headrace::kernels {

/// Depth of a product over a history that gemm gets at a time.
constexpr std::size_t token_chunk = 256;

/// Floats of workspace of any product [m, n] over a history of up to `longest` tokens.
inline std::size_t over_tokens_workspace(std::size_t m, std::size_t n, std::size_t longest) {
  std::size_t most = 0;
  for (std::size_t k = 1; k <= std::min(longest, token_chunk); ++k)
    most = std::max(most, gemm_workspace(m, n, k));
  return most;
}

}  // namespace headrace::kernels
