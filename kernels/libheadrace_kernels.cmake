# libheadrace_kernels.so: the C ABI (include/) over the CPU operators, nothing else of them visible. The CUDA library has the
# same entries (libheadrace_cuda.cmake).
set_target_properties(headrace_kernels headrace_base_core PROPERTIES
  POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)

set(abi_sources
  abi/entry.cpp
  abi/error_text.cpp
  abi/check_failed.cpp
  abi/device_cpu.cpp
  abi/devices_cpu.cpp)

add_library(headrace_kernels_abi SHARED ${abi_sources})
headrace_target(headrace_kernels_abi)
set_target_properties(headrace_kernels_abi PROPERTIES
  OUTPUT_NAME headrace_kernels CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR} LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/abi/exports.map)
target_link_libraries(headrace_kernels_abi PRIVATE headrace::kernels)
target_link_options(headrace_kernels_abi PRIVATE
  -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/abi/exports.map -Wl,-z,defs)

headrace_test(kernels_abi_test
  SOURCES abi/abi.test.cpp abi/plain_c.c
  DEPENDS headrace_kernels_abi)
if(TARGET kernels_abi_test)
  set_target_properties(kernels_abi_test PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
endif()
