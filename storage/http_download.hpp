#pragma once

#include "base/result.hpp"

#include <chrono>
#include <filesystem>
#include <string>

namespace headrace::storage {

struct download_limits {
  std::chrono::seconds connect{3};
  std::chrono::seconds total{15};
  std::size_t bytes_max = std::size_t{64} << 20;
};

/// Fetches `url` into `path`, written under another name first and renamed when complete. Only for
/// data that a user asked for. Fails: unavailable (no network, refused, too slow), too_large,
/// io_error.
result<void> http_download(const std::string& url,
                           const std::filesystem::path& path,
                           const download_limits& limits);

}  // namespace headrace::storage
