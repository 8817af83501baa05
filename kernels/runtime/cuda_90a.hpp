#pragma once

#include <cstdint>

/// What decides whether and how kernels of sm_90a (hopper.hpp) are started on the current device.
/// Both end the entry (abi/entry.hpp) when CUDA fails.
namespace headrace::kernels {

/// Whether it runs them: compute capability 9.0. With HEADRACE_NO_90A in the environment it does
/// not, so that sm_80's kernels can be compared with them on one device.
bool has_90a();

/// Blocks of a persistent grid: its multiprocessors.
std::uint32_t multiprocessors();

}  // namespace headrace::kernels
