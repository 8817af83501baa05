#pragma once

#include "kernels/linear/linear.hpp"

#include <cstddef>

/// What a dense layer does beside its products, whatever these are computed in.
namespace headrace::kernels {

/// z [rows, out] += bias [out] (unless null), then y = φ(z), which may be z itself.
void finish_rows(linear_activation activation,
                 const float* bias,
                 std::size_t rows,
                 std::size_t out,
                 float* z,
                 float* y);

/// dz [rows, out] = dy φ' from what is `kept` (z where linear_reads_saved, else y), unless dz is
/// null, as it may be where φ is the identity; then dbias [out] (unless null) += its rows.
void slope_rows(linear_activation activation,
                const float* kept,
                const float* dy,
                std::size_t rows,
                std::size_t out,
                float* dz,
                float* dbias);

}  // namespace headrace::kernels
