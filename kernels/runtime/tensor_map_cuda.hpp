#pragma once

#include "kernels/runtime/tensor_map.hpp"

namespace headrace::kernels {

/// A tensor map for a kernel on a GPU. Ends the entry (abi/entry.hpp) with HEADRACE_BAD_ARGUMENT
/// and what is wrong where the description is refused, HEADRACE_NO_DEVICE where the driver has no
/// tensor maps.
/// The driver's function is asked for at run time, so that nothing links libcuda.
tensor_map cuda_map(const tensor_tiles& tiles);

}  // namespace headrace::kernels
