#include "kernels/collectives/nccl_library.hpp"

#include "kernels/abi/entry.hpp"

#include <dlfcn.h>
#include <string>

namespace headrace::kernels {
namespace {

constexpr const char* file = "libnccl.so.2";

template <class Function>
void find(void* handle, const char* name, Function*& to) {
  to = reinterpret_cast<Function*>(::dlsym(handle, name));
  if (to == nullptr) {
    abi::refuse(HEADRACE_UNSUPPORTED, std::string(file) + " has no function " + name);
  }
}

std::string version_text(int version) {
  return std::to_string(version / 10'000) + "." + std::to_string(version / 100 % 100);
}

/// Its functions are used through our header's declarations, so it must be as new.
void need_version(void* handle) {
  decltype(ncclGetVersion)* get_version = nullptr;
  find(handle, "ncclGetVersion", get_version);
  int version = 0;
  constexpr int wanted = NCCL_VERSION(NCCL_MAJOR, NCCL_MINOR, 0);
  if (get_version(&version) == ncclSuccess && version >= wanted) return;
  abi::refuse(HEADRACE_UNSUPPORTED,
              std::string(file) + " is NCCL " + version_text(version) + "; accepted is " +
                  version_text(wanted) + " or newer");
}

nccl_library open() {
  void* handle = ::dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) abi::refuse(HEADRACE_UNSUPPORTED, std::string("no NCCL: ") + ::dlerror());
  need_version(handle);
  nccl_library library;
  find(handle, "ncclGetUniqueId", library.get_unique_id);
  find(handle, "ncclCommInitRankConfig", library.comm_init_rank_config);
  find(handle, "ncclCommGetAsyncError", library.comm_get_async_error);
  find(handle, "ncclCommAbort", library.comm_abort);
  find(handle, "ncclCommDestroy", library.comm_destroy);
  find(handle, "ncclAllReduce", library.all_reduce);
  find(handle, "ncclBroadcast", library.broadcast);
  find(handle, "ncclGetErrorString", library.get_error_string);
  return library;
}

}  // namespace

const nccl_library& nccl() {
  static const nccl_library library = open();  // asked again where it was refused
  return library;
}

}  // namespace headrace::kernels
