#pragma once

#include "base/result.hpp"
#include "bench/torch/layer_point.hpp"
#include "bench/torch/torch_peer.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace headrace::bench {

/// How a layer is measured: the same for each of them.
struct layer_run {
  std::uint32_t threads = 2;  // of each side
  double seconds = 1;         // of a round, on each side
  std::uint32_t rounds = 3;
  bool json = false;
  std::string python = system_python;
  bool inside = false;                // hidden: this is the measuring process
  std::filesystem::path folder = {};  // hidden: of this run alone; tensors are written to it
};

/// Starts `headrace bench NAME FLAGS…`, and the flags of `run`, in a session of its own with a
/// folder, or, inside, calls `measure`. Returns the exit status: 0, 1 when it failed (one line on
/// standard error), 130 after a signal. `stop` waits as long as it is told and says whether a
/// signal has come.
int run_layer_bench(const std::string& name,
                    std::vector<std::string> flags,
                    const layer_run& run,
                    const std::function<result<void>(const run_facts&)>& measure,
                    const std::function<bool(std::chrono::milliseconds)>& stop);

}  // namespace headrace::bench
