#include "kernels/runtime/tensor_map_cuda.hpp"

#include "kernels/abi/entry.hpp"
#include "kernels/runtime/cuda_call.hpp"
#include "kernels/runtime/tile_layout.hpp"

#include <cuda.h>
#include <cudaTypedefs.h>
#include <cuda_runtime_api.h>
#include <string>

namespace headrace::kernels {
namespace {

constexpr unsigned first_with_maps = 12'000;  // CUDA 12.0

PFN_cuTensorMapEncodeTiled_v12000 driver_encoder() {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
  check_cuda(cudaGetDriverEntryPointByVersion(
                 "cuTensorMapEncodeTiled", &function, first_with_maps, cudaEnableDefault, &found),
             "search for cuTensorMapEncodeTiled");
  if (found != cudaDriverEntryPointSuccess || function == nullptr) {
    abi::refuse(HEADRACE_NO_DEVICE, "the driver has no cuTensorMapEncodeTiled (CUDA 12.0)");
  }
  return reinterpret_cast<PFN_cuTensorMapEncodeTiled_v12000>(function);
}

}  // namespace

tensor_map cuda_map(const tensor_tiles& tiles) {
  if (const char* fault = fault_in(tiles)) {
    abi::refuse(HEADRACE_BAD_ARGUMENT, std::string("tensor map: ") + fault);
  }
  static const PFN_cuTensorMapEncodeTiled_v12000 encode = driver_encoder();
  const cuuint64_t sizes[] = {tiles.columns, tiles.lines, tiles.slices};
  const cuuint64_t pitches[] = {
      tiles.line_pitch, tiles.slices > 1 ? tiles.slice_pitch : tiles.lines * tiles.line_pitch};
  const cuuint32_t box[] = {line_elements, tiles.box_lines, 1};
  const cuuint32_t steps[] = {1, 1, 1};
  tensor_map map{};
  const CUresult code = encode(reinterpret_cast<CUtensorMap*>(&map),
                               CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                               3,
                               const_cast<void*>(tiles.base),
                               sizes,
                               pitches,
                               box,
                               steps,
                               CU_TENSOR_MAP_INTERLEAVE_NONE,
                               CU_TENSOR_MAP_SWIZZLE_128B,
                               CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                               CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (code != CUDA_SUCCESS) {
    abi::refuse(HEADRACE_BAD_ARGUMENT,
                "tensor map: cuTensorMapEncodeTiled says " + std::to_string(code));
  }
  return map;
}

}  // namespace headrace::kernels
