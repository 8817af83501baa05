#pragma once

#include "base/config.hpp"

#include <string>

namespace headrace::cli {

/// `[telemetry]`: where a process of the job answers `/metrics`, `/healthz` and `/readyz`.
struct telemetry_spec {
  std::string http;  // host:port; empty: only where its source answers HTTP anyway
};

/// Reads the section; refusals are the reader's.
telemetry_spec read_telemetry(config_reader& config);

}  // namespace headrace::cli
