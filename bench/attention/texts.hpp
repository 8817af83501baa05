#pragma once

#include <string_view>

namespace headrace::bench {

/// torch_attention.py, compiled in so that an installed program has it.
extern const std::string_view attention_script;

}  // namespace headrace::bench
