# libheadrace_cuda.so: the C ABI (include/) over the CUDA kernels, nothing else of them visible. Opened by dlopen
# (runtime/cuda_library.hpp), so that one binary starts on hosts without CUDA; the same file serves ctypes. cudart is inside,
# cuBLASLt is opened when first asked for.
find_package(CUDAToolkit REQUIRED)

# Machine code of the oldest and the newest generation served, and PTX of the oldest for what lies between and comes after.
set(HEADRACE_CUDA_ARCHITECTURES "80-real;90a-real;80-virtual" CACHE STRING "what the CUDA kernels are compiled for")

set(cuda_sources
  abi/check_failed.cpp
  abi/device_cuda.cpp
  abi/entry.cpp
  abi/error_text.cpp
  abi/stored_row_bytes.cpp
  runtime/cuda_call.cpp
  runtime/cuda_devices.cpp)

# Rows (headrace_rows.h): the bits of the CPU operators, so products and sums are not fused.
set(cuda_row_sources
  dedup/dedup_cuda.cu
  gather_pool/gather_pool_cuda.cu
  gather_rows/gather_rows_cuda.cu
  quantize_rows/quantize_rows_cuda.cu
  sparse_update/sparse_update_cuda.cu
  top_k/top_k_cuda.cu)
set_source_files_properties(${cuda_row_sources} PROPERTIES COMPILE_OPTIONS -fmad=false)
list(APPEND cuda_sources ${cuda_row_sources} runtime/radix_sort_cuda.cu)

# Sums over GPUs (headrace_collectives.h), where NCCL's header is there; the library itself is opened when first asked for.
find_path(NCCL_INCLUDE_DIR nccl.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
if(NCCL_INCLUDE_DIR)
  list(APPEND cuda_sources collectives/nccl_group.cpp collectives/nccl_library.cpp)
else()
  message(STATUS "no nccl.h: libheadrace_cuda.so has no groups of GPUs")
endif()

# Attention (headrace_attention.h).
list(APPEND cuda_sources
  attention/attention_cuda.cu
  attention/attention_backward_cuda.cu
  decode_attention/decode_attention_cuda.cu
  hstu/hstu_cuda.cu
  hstu/hstu_backward_cuda.cu)

# Dense layers, losses and optimizers (headrace_dense.h) and experts (headrace_moe.h). Optimizers give the CPU's bits.
list(APPEND cuda_sources
  bce/bce_cuda.cu
  cross/cross_cuda.cu
  dense_update/dense_update_cuda.cu
  dot_interaction/dot_interaction_cuda.cu
  esmm_loss/esmm_loss_cuda.cu
  fm/fm_cuda.cu
  gate_mix/gate_mix_cuda.cu
  layer_norm/layer_norm_cuda.cu
  loss_scaler/gradient_scan_cuda.cu
  grouped_ffn/grouped_ffn_cuda.cu
  moe_permute/moe_permute_cuda.cu
  moe_router/moe_router_cuda.cu
  softmax_loss/softmax_loss_cuda.cu)
set_source_files_properties(dense_update/dense_update_cuda.cu PROPERTIES COMPILE_OPTIONS -fmad=false)

# Lookups, dense layers, moved columns and scaled sums (headrace_graph.h). Lookups and sums give the CPU's bits.
list(APPEND cuda_sources linear/linear_cuda.cu gather_fields/gather_fields_cuda.cu)
set_source_files_properties(gather_fields/gather_fields_cuda.cu PROPERTIES COMPILE_OPTIONS -fmad=false)

add_library(headrace_cuda SHARED ${cuda_sources})
target_include_directories(headrace_cuda PRIVATE ${HEADRACE_ROOT})
target_compile_options(headrace_cuda PRIVATE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow>
  $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-Wno-restrict>  # as in cmake/module.cmake
  $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr -Xptxas=-v -Xcompiler=-Wall,-Wextra,-ffp-contract=off>
  $<$<AND:$<BOOL:${HEADRACE_WERROR}>,$<COMPILE_LANGUAGE:CXX>>:-Werror>
  $<$<AND:$<BOOL:${HEADRACE_WERROR}>,$<COMPILE_LANGUAGE:CUDA>>:-Werror=all-warnings>)
set_target_properties(headrace_cuda PROPERTIES
  CUDA_ARCHITECTURES "${HEADRACE_CUDA_ARCHITECTURES}"
  CUDA_RUNTIME_LIBRARY Static
  CUDA_COMPILER_LAUNCHER "${HEADRACE_ROOT}/cmake/keep_ptxas"
  CUDA_VISIBILITY_PRESET hidden CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
target_link_libraries(headrace_cuda PRIVATE CUDA::cudart_static ${CMAKE_DL_LIBS})
target_link_options(headrace_cuda PRIVATE
  -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/abi/exports.map -Wl,-z,defs)
set_target_properties(headrace_cuda PROPERTIES LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/abi/exports.map)

# Kernels written for sm_90a alone (runtime/hopper.hpp, OP_cuda_90a.cu): not for any other chip, not even a newer one; chosen at
# run time. Tensor maps come from the driver.
add_library(headrace_cuda_90a OBJECT
  attention/attention_cuda_90a.cu
  grouped_gemm/grouped_gemm_cuda_90a.cu)
get_target_property(options headrace_cuda COMPILE_OPTIONS)
target_compile_options(headrace_cuda_90a PRIVATE ${options})
target_include_directories(headrace_cuda_90a PRIVATE ${HEADRACE_ROOT} ${CUDAToolkit_INCLUDE_DIRS})
set_target_properties(headrace_cuda_90a PROPERTIES
  CUDA_ARCHITECTURES 90a-real
  POSITION_INDEPENDENT_CODE ON
  CUDA_COMPILER_LAUNCHER "${HEADRACE_ROOT}/cmake/keep_ptxas"
  CUDA_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
target_sources(headrace_cuda PRIVATE runtime/cuda_90a.cpp runtime/tensor_map_cuda.cpp $<TARGET_OBJECTS:headrace_cuda_90a>)
