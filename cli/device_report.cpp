#include "cli/device_report.hpp"

#include "base/json_line.hpp"
#include "cli/verbs.hpp"
#include "kernels/runtime/cuda_library.hpp"
#include "kernels/runtime/targets.hpp"

#include <cstdio>
#include <string>
#include <vector>

namespace headrace::cli {
namespace {

/// What was found of CUDA on this host.
struct found_devices {
  std::string file;     // of the library
  std::string refused;  // why there is no device, or ""
  std::vector<headrace_device_info> devices;
};

found_devices look_for(const std::filesystem::path& file) {
  const auto library = kernels::cuda_library::open(file);
  if (!library) return {file.string(), library.error().detail, {}};
  return {file.string(), library->refused(), library->devices()};
}

/// "9.0" of 90.
std::string dotted(std::int32_t capability) {
  return std::to_string(capability / 10) + "." + std::to_string(capability % 10);
}

std::string cpu_name() { return kernels::name(kernels::chosen_cpu_target()); }

std::string to_json(const found_devices& found) {
  json_line line;
  line.add("cpu", cpu_name())
      .add("cuda_library", found.file)
      .add("refused", found.refused)
      .begin_array("device");
  for (const auto& device : found.devices) {
    line.begin_object_item()
        .add("name", device.name)
        .add("capability", dotted(device.capability))
        .add("multiprocessors", device.multiprocessors)
        .add("memory_bytes", device.memory_bytes)
        .add("refused", device.refused)
        .end();
  }
  return line.end().text();
}

void print(const found_devices& found) {
  std::printf("cpu     %s\n", cpu_name().c_str());
  if (!found.refused.empty()) std::printf("no gpu  %s\n", found.refused.c_str());
  for (std::size_t i = 0; i < found.devices.size(); ++i) {
    const auto& device = found.devices[i];
    std::printf("gpu %-3zu %s, compute capability %s, %.1f GiB",
                i,
                device.name,
                dotted(device.capability).c_str(),
                static_cast<double>(device.memory_bytes) / 1'073'741'824.0);
    std::printf(device.refused[0] == '\0' ? "\n" : ", refused: %s\n", device.refused);
  }
}

}  // namespace

int report_devices(const std::filesystem::path& cuda_library_file, bool json) {
  const found_devices found = look_for(cuda_library_file);
  if (json) {
    std::puts(to_json(found).c_str());
  } else {
    print(found);
  }
  return exit_done;
}

}  // namespace headrace::cli
