#include "worker/device/placement.hpp"

#include "kernels/runtime/cuda_library.hpp"
#include "worker/device/device_model.hpp"

#include <memory>
#include <utility>

namespace headrace::worker {
namespace {

/// The first device that is used; fails with why there is none.
result<std::int32_t> first_device(const kernels::cuda_library& library) {
  const auto devices = library.devices();
  std::string why = library.refused();
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].refused[0] == '\0') return static_cast<std::int32_t>(i);
    if (why.empty()) why = std::string(devices[i].name) + " is not used: " + devices[i].refused;
  }
  return error{errc::unavailable, "no GPU: " + why};
}

/// What of the job no device can do.
std::string refused_settings(const step_spec& step) {
  if (step.as != precision::f32)
    return "train.precision = \"" + std::string(name(step.as)) +
           "\": a device computes in f32 only";
  if (step.how != activations::keep)
    return "train.activations = \"recompute\": a device keeps them";
  if (step.negative_share < 1.0F)
    return "join.negative_share below 1: a device does not correct for it";
  return "";
}

result<placement> on_device(const step_spec& step,
                            const std::filesystem::path& file,
                            std::string_view backend) {
  if (auto why = refused_settings(step); !why.empty()) return error{errc::bad_config, why};
  auto opened = kernels::cuda_library::open(file, backend);
  if (!opened) return opened.error();
  const auto device = first_device(*opened);
  if (!device) return device.error();
  const std::string device_name = opened->devices()[static_cast<std::size_t>(*device)].name;
  auto library = device_library::of(
      std::make_shared<const kernels::cuda_library>(std::move(*opened)), *device);
  if (!library) return library.error();
  if (auto why = device_model::refusal(step.graph, *library); !why.empty())
    return error{errc::bad_config, why};
  return placement{std::move(*library), device_name, ""};
}

}  // namespace

result<placement> place(device_choice wanted,
                        const step_spec& step,
                        const std::filesystem::path& file,
                        std::string_view backend) {
  if (wanted == device_choice::cpu) return placement{};
  auto found = on_device(step, file, backend);
  if (found) return found;
  if (wanted == device_choice::automatic) return placement{std::nullopt, "", found.error().detail};
  return error{found.error().code,
               "train.device = \"cuda\": " + found.error().detail +
                   "; \"auto\" takes the CPU where a GPU cannot be used"};
}

}  // namespace headrace::worker
