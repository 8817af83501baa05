#pragma once

#include "kernels/runtime/value_format.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Rows [n] pointers to dim floats, to nearest fp16 or bf16 (`format`): words [n, dim] out. What
/// gather_rows is made of.
void narrow_scattered_cpu(value_format format,
                          std::span<const float* const> rows,
                          std::size_t dim,
                          std::uint16_t* words);

}  // namespace headrace::kernels
