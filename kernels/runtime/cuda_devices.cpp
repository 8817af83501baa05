#include "kernels/runtime/cuda_devices.hpp"

#include "kernels/include/headrace_kernels.h"

#include <cstdio>
#include <cuda_runtime_api.h>
#include <exception>

namespace headrace::kernels {
namespace {

/// "13.0" of 13000.
std::string dotted(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

int driver_version() {
  int version = 0;
  const bool known = cudaDriverGetVersion(&version) == cudaSuccess;
  cudaGetLastError();  // what isn't known is no failure of the next call
  return known ? version : 0;
}

int attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  const bool known = cudaDeviceGetAttribute(&value, which, index) == cudaSuccess;
  cudaGetLastError();
  return known ? value : 0;
}

int capability(int index) {
  return 10 * attribute(cudaDevAttrComputeCapabilityMajor, index) +
         attribute(cudaDevAttrComputeCapabilityMinor, index);
}

std::string capability_text(int value) {
  return std::to_string(value / 10) + "." + std::to_string(value % 10);
}

/// A JSON string of text that drivers write: what would need an escape becomes a blank.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) out += c == '"' || c == '\\' || (c >= 0 && c < ' ') ? ' ' : c;
  return out + '"';
}

std::string device_as_json(int index) {
  const headrace_device_info about = device_facts(index);
  return "{\"index\":" + std::to_string(index) + ",\"name\":" + quoted(about.name) +
         ",\"capability\":\"" + capability_text(about.capability) +
         "\",\"memory_bytes\":" + std::to_string(about.memory_bytes) +
         ",\"refused\":" + quoted(about.refused) + "}";
}

}  // namespace

int device_count() {
  int count = 0;
  const bool known = cudaGetDeviceCount(&count) == cudaSuccess;
  cudaGetLastError();  // a host without GPUs is no failure of the next call
  return known ? count : 0;
}

std::string driver_refused() {
  const int driver = driver_version();
  if (driver == 0) return "no driver: libcuda.so.1 is not installed or finds no GPU";
  int count = 0;
  const cudaError_t code = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (code == cudaErrorInsufficientDriver || code == cudaErrorUnsupportedPtxVersion) {
    return "driver too old: it is for CUDA " + dotted(driver) + ", this library needs " +
           dotted(CUDART_VERSION);
  }
  if (code != cudaSuccess) return cudaGetErrorString(code);
  return count == 0 ? "no GPU" : "";
}

std::string no_such_device(int index) {
  const std::string refused = driver_refused();
  if (!refused.empty()) return refused;
  if (index >= 0 && index < device_count()) return "";
  return "there is no device " + std::to_string(index) + ", only " + std::to_string(device_count());
}

std::string device_refused(int index) {
  const std::string nowhere = no_such_device(index);
  if (!nowhere.empty()) return nowhere;
  const int found = capability(index);
  if (found >= capability_min) return "";
  return "compute capability " + capability_text(found) + ", at least " +
         capability_text(capability_min) + " is needed";
}

headrace_device_info device_facts(int index) {
  headrace_device_info about{};
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, index) != cudaSuccess) cudaGetLastError();
  about.capability = capability(index);
  about.multiprocessors = properties.multiProcessorCount;
  about.memory_bytes = properties.totalGlobalMem;
  std::snprintf(about.name, sizeof(about.name), "%.127s", properties.name);
  std::snprintf(about.refused, sizeof(about.refused), "%s", device_refused(index).c_str());
  return about;
}

std::string devices_as_json() {
  const std::string refused = driver_refused();
  std::string line =
      "{\"backend\":\"cuda\",\"version\":" + std::to_string(HEADRACE_KERNELS_VERSION) +
      ",\"driver\":" + std::to_string(driver_version()) +
      ",\"runtime\":" + std::to_string(CUDART_VERSION) + ",\"refused\":" + quoted(refused) +
      ",\"device\":[";
  const int count = refused.empty() ? device_count() : 0;
  for (int index = 0; index < count; ++index) {
    line += (index == 0 ? "" : ",") + device_as_json(index);
  }
  return line + "]}";
}

}  // namespace headrace::kernels

extern "C" const char* headrace_backend(void) { return "cuda"; }

extern "C" const char* headrace_devices(void) {
  try {
    thread_local std::string text;
    text = headrace::kernels::devices_as_json();
    return text.c_str();
  } catch (const std::exception&) {
    return R"({"backend":"cuda","refused":"the host has no memory left","device":[]})";
  }
}
