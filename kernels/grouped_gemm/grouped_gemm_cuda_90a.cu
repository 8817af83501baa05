#include "kernels/grouped_gemm/grouped_gemm_90a_launch.hpp"
#include "kernels/runtime/cuda_90a.hpp"
#include "kernels/runtime/launch_cuda.hpp"
#include "kernels/runtime/tensor_map_cuda.hpp"

namespace headrace::kernels {
void grouped_product_90a(const grouped_product_args& args, void* stream) {
  launch_grouped_product(args, multiprocessors(), cuda_map, cuda_launch{stream});
}

void grouped_sums_90a(const grouped_sums_args& args, void* stream) {
  launch_grouped_sums(args, multiprocessors(), cuda_map, cuda_launch{stream});
}

}  // namespace headrace::kernels
