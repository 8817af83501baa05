#pragma once

#include <string_view>

/// Files of this folder, compiled in so that an installed program has them.
namespace headrace::bench {

extern const std::string_view deepfm_model;   // deepfm.toml
extern const std::string_view deepfm_script;  // torch_deepfm.py

}  // namespace headrace::bench
