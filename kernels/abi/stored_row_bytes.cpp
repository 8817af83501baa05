#include "kernels/abi/rows_checks.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

extern "C" uint64_t headrace_stored_row_bytes(headrace_dtype dtype, uint64_t dim) {
  using namespace headrace::kernels;
  const bool known = dtype >= HEADRACE_F32 && dtype <= HEADRACE_BF16;
  if (!known || dim == 0 || dim > abi::dim_max) return 0;
  return stored_bytes(static_cast<value_format>(dtype), dim);
}
