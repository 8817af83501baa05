#pragma once

#include "kernels/attention/mask.hpp"
#include "worker/model/op_registry.hpp"

#include <cstddef>

/// Attributes that attention over lists has in common (attention.cpp, hstu.cpp).
namespace headrace::worker {

std::size_t read_heads(const layer_section& section);
/// `causal`, `window` (0: none) and `globals`; kernels/attention/mask.hpp says what each hides.
kernels::attention_mask read_mask(const layer_section& section);
/// Fails unless the one input has queries, keys and values of that many heads for each token.
result<void> expect_heads(const layer_section& section, std::size_t heads);

}  // namespace headrace::worker
