#pragma once

#include "kernels/runtime/device.hpp"
#include "kernels/runtime/tile_layout.hpp"

#include <cstdint>

/// wgmma of sm_90a as nvcc has it: hopper_cuda.hpp's products. The accumulators are named one by
/// one, as inline assembly wants them; macros spell the lists and end with this file.
namespace headrace::kernels::device {

template <int columns, class Element>
struct warpgroup_product;

#define HEADRACE_NAMES_32                                                \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15" \
  ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define HEADRACE_NAMES_64                                                            \
  HEADRACE_NAMES_32                                                                  \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define HEADRACE_NAMES_128                                                                       \
  HEADRACE_NAMES_64                                                                              \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"             \
  ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"             \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
  ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, " \
  "%127"
#define HEADRACE_SUMS_4(i) "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3])
#define HEADRACE_SUMS_16(i) \
  HEADRACE_SUMS_4(i), HEADRACE_SUMS_4(i + 4), HEADRACE_SUMS_4(i + 8), HEADRACE_SUMS_4(i + 12)
#define HEADRACE_SUMS_32 HEADRACE_SUMS_16(0), HEADRACE_SUMS_16(16)
#define HEADRACE_SUMS_64 HEADRACE_SUMS_32, HEADRACE_SUMS_16(32), HEADRACE_SUMS_16(48)
#define HEADRACE_SUMS_128                                                             \
  HEADRACE_SUMS_64, HEADRACE_SUMS_16(64), HEADRACE_SUMS_16(80), HEADRACE_SUMS_16(96), \
      HEADRACE_SUMS_16(112)

// p0 to p6: the numbers of the operands behind the accumulators.
#define HEADRACE_PRODUCT(columns, values, element, type, p0, p1, p2, p3, p4, p5, p6)             \
  template <>                                                                                    \
  struct warpgroup_product<columns, element> {                                                   \
    template <operand_major left, operand_major right>                                           \
    HEADRACE_DEVICE static void of_tiles(float (&c)[values],                                     \
                                         std::uint64_t a,                                        \
                                         std::uint64_t b,                                        \
                                         bool adds) {                                            \
      asm volatile("{\n.reg .pred adds;\nsetp.ne.b32 adds, %" p2                                 \
                   ", 0;\n"                                                                      \
                   "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type         \
                   " {" HEADRACE_NAMES_##values "}, %" p0 ", %" p1 ", adds, 1, 1, %" p3 ", %" p4 \
                                                ";\n}\n"                                         \
                   : HEADRACE_SUMS_##values                                                      \
                   : "l"(a),                                                                     \
                     "l"(b),                                                                     \
                     "r"(static_cast<int>(adds)),                                                \
                     "n"(static_cast<int>(left)),                                                \
                     "n"(static_cast<int>(right)));                                              \
    }                                                                                            \
    template <operand_major right>                                                               \
    HEADRACE_DEVICE static void of_registers(float (&c)[values],                                 \
                                             const std::uint32_t (&a)[4],                        \
                                             std::uint64_t b,                                    \
                                             bool adds) {                                        \
      asm volatile("{\n.reg .pred adds;\nsetp.ne.b32 adds, %" p5                                 \
                   ", 0;\n"                                                                      \
                   "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32." type "." type         \
                   " {" HEADRACE_NAMES_##values "}, {%" p0 ", %" p1 ", %" p2 ", %" p3 "}, %" p4  \
                                                ", adds, 1, 1, %" p6 ";\n}\n"                    \
                   : HEADRACE_SUMS_##values                                                      \
                   : "r"(a[0]),                                                                  \
                     "r"(a[1]),                                                                  \
                     "r"(a[2]),                                                                  \
                     "r"(a[3]),                                                                  \
                     "l"(b),                                                                     \
                     "r"(static_cast<int>(adds)),                                                \
                     "n"(static_cast<int>(right)));                                              \
    }                                                                                            \
  }

HEADRACE_PRODUCT(64, 32, brain, "bf16", "32", "33", "34", "35", "36", "37", "38");
HEADRACE_PRODUCT(64, 32, half, "f16", "32", "33", "34", "35", "36", "37", "38");
HEADRACE_PRODUCT(128, 64, brain, "bf16", "64", "65", "66", "67", "68", "69", "70");
HEADRACE_PRODUCT(128, 64, half, "f16", "64", "65", "66", "67", "68", "69", "70");
HEADRACE_PRODUCT(256, 128, brain, "bf16", "128", "129", "130", "131", "132", "133", "134");
HEADRACE_PRODUCT(256, 128, half, "f16", "128", "129", "130", "131", "132", "133", "134");

#undef HEADRACE_PRODUCT
#undef HEADRACE_NAMES_32
#undef HEADRACE_NAMES_64
#undef HEADRACE_NAMES_128
#undef HEADRACE_SUMS_4
#undef HEADRACE_SUMS_16
#undef HEADRACE_SUMS_32
#undef HEADRACE_SUMS_64
#undef HEADRACE_SUMS_128

}  // namespace headrace::kernels::device
