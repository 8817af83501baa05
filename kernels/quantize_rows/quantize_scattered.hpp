#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// quantize_rows of rows that lie apart: rows [n] pointers to dim floats; codes [n, dim] and scales
/// [n] out. What gather_rows_int8 is made of.
void quantize_scattered_cpu(std::span<const float* const> rows,
                            std::size_t dim,
                            std::int8_t* codes,
                            std::uint16_t* scales);

}  // namespace headrace::kernels
