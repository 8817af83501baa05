#pragma once

#include "base/config.hpp"

#include <cstdint>
#include <string>

namespace headrace::cli {

/// `[serve]`: how predictions of a job are answered, by `headrace serve` and, where `http` is set,
/// by `headrace run` itself.
struct serve_spec {
  std::string http;                // host:port; empty: `run` does not, `serve` at its default
  std::uint32_t threads = 1;       // that score
  std::uint32_t queue = 256;       // requests that wait for one; beyond it 429
  std::uint32_t wait_us = 0;       // a request waits so long for others to be scored with
  std::uint32_t batch = 1'024;     // candidates scored at once
  std::uint32_t interval_ms = 50;  // changes of so long come as one delta
  std::uint32_t stale_ms_max =
      10'000;  // not ready where a shard was not heard for so long; 0: ever
};
serve_spec read_serve(config_reader& config);

}  // namespace headrace::cli
