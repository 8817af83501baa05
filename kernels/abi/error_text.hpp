#pragma once

#include "kernels/include/headrace_kernels.h"

namespace headrace::kernels::abi {

/// Makes "op: text" what headrace_last_error() says in this thread, cut at 511 bytes so that it
/// needs no memory; returns `status`.
headrace_status set_error(headrace_status status, const char* op, const char* text) noexcept;

}  // namespace headrace::kernels::abi
