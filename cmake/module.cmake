# headrace_module(NAME SOURCES … DEPENDS … [PRIVATE_DEPENDS …] [TEST_DEPENDS …])
#
# One folder, one library. Files are sorted by suffix: *.test.cpp into NAME_test (one CTest entry),
# *.bench.cpp into NAME_bench, the rest into the library headrace::NAME.
function(headrace_module name)
  cmake_parse_arguments(arg "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS;TEST_DEPENDS" ${ARGN})
  set(library ${arg_SOURCES})
  list(FILTER library EXCLUDE REGEX "\\.(test|bench)\\.cpp$")
  set(tests ${arg_SOURCES})
  list(FILTER tests INCLUDE REGEX "\\.test\\.cpp$")
  set(benches ${arg_SOURCES})
  list(FILTER benches INCLUDE REGEX "\\.bench\\.cpp$")

  add_library(headrace_${name} STATIC ${library})
  add_library(headrace::${name} ALIAS headrace_${name})
  headrace_target(headrace_${name})
  target_link_libraries(headrace_${name} PUBLIC ${arg_DEPENDS} PRIVATE ${arg_PRIVATE_DEPENDS})

  if(HEADRACE_TESTS AND tests)
    headrace_test(${name}_test SOURCES ${tests} DEPENDS headrace::${name} ${arg_TEST_DEPENDS})
  endif()
  if(HEADRACE_BENCH AND benches)
    find_package(benchmark REQUIRED)
    add_executable(${name}_bench ${benches})
    headrace_target(${name}_bench)
    target_link_libraries(${name}_bench PRIVATE headrace::${name} ${arg_TEST_DEPENDS} benchmark::benchmark_main)
  endif()
endfunction()

# headrace_test(NAME SOURCES … DEPENDS … [LABELS …] [TIMEOUT seconds]): one GoogleTest binary, one CTest entry.
function(headrace_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;DEPENDS;LABELS" ${ARGN})
  if(NOT HEADRACE_TESTS)
    return()
  endif()
  find_package(GTest REQUIRED)
  add_executable(${name} ${arg_SOURCES})
  headrace_target(${name})
  target_compile_options(${name} PRIVATE -O1)  # most of a test's time is the compiler's
  target_link_libraries(${name} PRIVATE ${arg_DEPENDS} GTest::gmock GTest::gtest_main)
  add_test(NAME ${name} COMMAND ${name})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 300)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
endfunction()

# Warnings and the include root, for one target of ours.
function(headrace_target target)
  target_include_directories(${target} PUBLIC ${HEADRACE_ROOT})
  target_compile_options(${target} PRIVATE
    -Wall -Wextra -Wpedantic -Wshadow $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor> $<$<COMPILE_LANGUAGE:CXX>:-Woverloaded-virtual>
    $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>  # g++ 12 at -O3 warns of its own std::string (GCC bug 105651)
    $<$<BOOL:${HEADRACE_WERROR}>:-Werror>)
endfunction()

get_filename_component(HEADRACE_ROOT ${CMAKE_CURRENT_LIST_DIR}/.. ABSOLUTE)
if(HEADRACE_TESTS)
  enable_testing()
endif()
