#pragma once

#include <filesystem>

namespace headrace::cli {

/// `headrace status --devices`: what this host can compute on, and why a GPU is not used, as a few
/// lines or as one line of JSON on standard output. A host without GPUs is no failure.
int report_devices(const std::filesystem::path& cuda_library_file, bool json);

}  // namespace headrace::cli
