#pragma once

#include "base/result.hpp"
#include "worker/device/device_library.hpp"
#include "worker/model/graph_plan.hpp"
#include "worker/model/model_graph.hpp"
#include "worker/model/precision.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace headrace::worker {

/// What a job asks for. `automatic` is a GPU where one can do the whole step, else the CPU.
enum class device_choice : std::uint8_t { automatic, cpu, cuda };

/// The words for them, in job files.
inline constexpr std::array<std::pair<std::string_view, device_choice>, 3> device_words = {
    {{"auto", device_choice::automatic},
     {"cpu", device_choice::cpu},
     {"cuda", device_choice::cuda}}};

constexpr std::string_view name(device_choice wanted) {
  for (const auto& [word, choice] : device_words)
    if (choice == wanted) return word;
  return {};
}

/// Where a model's steps are computed.
struct placement {
  std::optional<device_library> device;  // none: on the CPU
  std::string device_name;               // "NVIDIA H100"
  std::string why_not;  // of `automatic` that is the CPU: what a GPU would need, in one line
};

/// What a model's steps need of a device.
struct step_spec {
  const model_graph& graph;
  precision as = precision::f32;
  activations how = activations::keep;
  float negative_share = 1.0F;  // of the samples without a label that it learns from
};

/// Where the steps of a model run. `file`: the kernel library; `backend`: what it has to be.
/// Fails with `cuda`: not_found and unavailable where there is no library or no device, bad_config
/// where the job asks for what a device cannot do, naming the layer or the key.
result<placement> place(device_choice wanted,
                        const step_spec& step,
                        const std::filesystem::path& file,
                        std::string_view backend = "cuda");

}  // namespace headrace::worker
