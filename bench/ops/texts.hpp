#pragma once

#include <string_view>

namespace headrace::bench {

/// torch_ops.py, compiled in so that an installed program has it.
extern const std::string_view ops_script;

}  // namespace headrace::bench
