#pragma once

#include <string_view>

namespace headrace::bench {

/// torch_layer.py, compiled in so that an installed program has it.
extern const std::string_view torch_layer_script;

}  // namespace headrace::bench
