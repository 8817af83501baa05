#pragma once

#include <string_view>

namespace headrace::bench {

/// torch_moe.py, compiled in so that an installed program has it.
extern const std::string_view moe_script;

}  // namespace headrace::bench
