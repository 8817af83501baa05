# libheadrace_kernels.so: the C ABI (include/) over the CPU operators, nothing else of them visible. The CUDA library has the
# same entries (libheadrace_cuda.cmake).
set_target_properties(headrace_kernels headrace_base_core PROPERTIES
  POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)

set(abi_sources
  abi/entry.cpp
  abi/error_text.cpp
  abi/check_failed.cpp
  abi/device_cpu.cpp
  abi/devices_cpu.cpp
  abi/attention_cpu.cpp
  abi/decode_attention_cpu.cpp
  abi/hstu_cpu.cpp
  abi/pool_cpu.cpp
  abi/rows_cpu.cpp
  abi/selection_cpu.cpp
  abi/stored_row_bytes.cpp
  abi/update_cpu.cpp
  abi/graph_cpu.cpp)

# Dense layers, losses, optimizers (headrace_dense.h) and experts (headrace_moe.h).
list(APPEND abi_sources
  abi/dense_cpu.cpp
  abi/losses_cpu.cpp
  abi/softmax_cpu.cpp
  abi/moe_cpu.cpp
  abi/ffn_cpu.cpp)

add_library(headrace_kernels_abi SHARED ${abi_sources})
headrace_target(headrace_kernels_abi)
set_target_properties(headrace_kernels_abi PROPERTIES
  OUTPUT_NAME headrace_kernels CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
  LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR} LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/abi/exports.map)
target_link_libraries(headrace_kernels_abi PRIVATE headrace::kernels)
target_link_options(headrace_kernels_abi PRIVATE
  -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/abi/exports.map -Wl,-z,defs)

headrace_test(kernels_abi_test
  SOURCES abi/abi.test.cpp abi/graph.test.cpp abi/plain_c.c
  DEPENDS headrace_kernels_abi)
if(TARGET kernels_abi_test)
  set_target_properties(kernels_abi_test PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF)
endif()

# What every entry does before its own work, from within.
headrace_test(kernels_abi_entry_test
  SOURCES abi/entry.test.cpp abi/entry.cpp abi/error_text.cpp abi/check_failed.cpp
  DEPENDS Threads::Threads)

# The library as Python loads it.
find_program(PYTHON3 python3)
if(HEADRACE_TESTS AND PYTHON3)
  add_test(NAME kernels_abi_smoke
    COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/abi/smoke.py $<TARGET_FILE:headrace_kernels_abi>)
endif()

# The lab (kernels/lab): what it must see, and every entry of this library against its references.
if(HEADRACE_TESTS AND PYTHON3)
  add_test(NAME kernels_lab_test
    COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/lab/lab_test.py $<TARGET_FILE:headrace_kernels_abi>)
  add_test(NAME kernels_lab_cpu
    COMMAND ${PYTHON3} ${CMAKE_CURRENT_SOURCE_DIR}/lab/run.py --backend cpu --out ${CMAKE_BINARY_DIR}/lab
      --library $<TARGET_FILE:headrace_kernels_abi>)
endif()

# Its benches at small sizes, where Debian's python3-torch is: what they call and check, not what they measure.
find_program(HEADRACE_LAB_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH)
if(HEADRACE_TESTS AND HEADRACE_LAB_PYTHON)
  add_test(NAME kernels_lab_bench_trial
    COMMAND ${HEADRACE_LAB_PYTHON} ${CMAKE_CURRENT_SOURCE_DIR}/lab/bench.py $<TARGET_FILE:headrace_kernels_abi>
      --seed 1 --device cpu --small)
  set_tests_properties(kernels_lab_bench_trial PROPERTIES SKIP_RETURN_CODE 77)
endif()
