#include "kernels/abi/entry.hpp"
#include "kernels/collectives/nccl_library.hpp"
#include "kernels/include/headrace_collectives.h"
#include "kernels/runtime/cuda_call.hpp"
#include "kernels/runtime/cuda_devices.hpp"

#include <chrono>
#include <cstring>
#include <cuda_runtime_api.h>
#include <memory>
#include <string>
#include <thread>

using namespace headrace::kernels;

/// A communicator that doesn't block, so that every wait has an end.
struct headrace_group {
  ncclComm_t comm = nullptr;
  std::string name;  // "member 0 of 4"
  int size = 0;
  std::chrono::milliseconds timeout{};
  bool over = false;

  /// The group ends, and with it the entry that found out.
  [[noreturn]] void end(const std::string& why) {
    if (comm != nullptr) nccl().comm_abort(comm);
    comm = nullptr;
    over = true;
    abi::refuse(HEADRACE_PEER_GONE, name + ": " + why + "; make a new group");
  }

  void need_alive() const {
    if (over) abi::refuse(HEADRACE_PEER_GONE, name + ": the group is over; make a new one");
  }

  void need(ncclResult_t code, const char* call) {
    if (code == ncclSuccess || code == ncclInProgress) return;
    end(std::string(call) + ": " + nccl().get_error_string(code));
  }

  /// True while an operation of the communicator is still being started.
  bool starting() {
    ncclResult_t state = ncclSuccess;
    need(nccl().comm_get_async_error(comm, &state), "ncclCommGetAsyncError");
    need(state, "NCCL");
    return state == ncclInProgress;
  }

  /// Until done() or the timeout; members are watched meanwhile.
  template <class Done>
  void wait_until(const Done& done) {
    const auto end_at = std::chrono::steady_clock::now() + timeout;
    while (starting() || !done()) {
      if (std::chrono::steady_clock::now() > end_at)
        end("no answer within " + std::to_string(timeout.count()) + " ms");
      std::this_thread::sleep_for(std::chrono::microseconds(20));
    }
  }

  void started(ncclResult_t code, const char* call) {
    need(code, call);
    wait_until([] { return true; });
  }
};

namespace {

cudaStream_t as_stream(void* stream) { return static_cast<cudaStream_t>(stream); }

/// The thread's device can be used.
void need_device() {
  int index = 0;
  if (cudaGetDevice(&index) != cudaSuccess) {
    cudaGetLastError();
    index = 0;  // device_refused says why
  }
  const std::string refused = device_refused(index);
  if (!refused.empty()) abi::refuse(HEADRACE_NO_DEVICE, refused);
}

void check(const headrace_group_args& args) {
  abi::need(args.flags == 0, "flags has bits set that it lacks");
  abi::need(args.id != nullptr, "id is null");
  abi::need(args.size >= 1 && args.rank >= 0 && args.rank < args.size,
            "rank is not in 0 to size - 1");
  abi::need(args.timeout_ms >= 1, "timeout_ms is 0");
}

std::unique_ptr<headrace_group> join(const headrace_group_args& args) {
  ncclUniqueId id;
  static_assert(sizeof(id) == HEADRACE_GROUP_ID_BYTES);
  std::memcpy(&id, args.id, sizeof(id));
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  auto group = std::make_unique<headrace_group>();
  group->name = "member " + std::to_string(args.rank) + " of " + std::to_string(args.size);
  group->size = args.size;
  group->timeout = std::chrono::milliseconds(args.timeout_ms);
  group->started(nccl().comm_init_rank_config(&group->comm, args.size, id, args.rank, &config),
                 "joining");
  return group;
}

}  // namespace

extern "C" {

headrace_status headrace_group_id(void* id) {
  return abi::call("group_id", [&] {
    abi::need(id != nullptr, "id is null");
    nccl();  // no library is said before no device
    need_device();
    ncclUniqueId made;
    const ncclResult_t code = nccl().get_unique_id(&made);
    if (code != ncclSuccess) abi::refuse(HEADRACE_DEVICE_FAILED, nccl().get_error_string(code));
    std::memcpy(id, &made, sizeof(made));
  });
}

headrace_status headrace_group_new(const headrace_group_args* given, headrace_group** group) {
  return abi::entry("group_new", given, [&](const headrace_group_args& args) {
    abi::need_array(group, 1, "group");
    *group = nullptr;
    check(args);
    nccl();
    need_device();
    *group = join(args).release();
  });
}

headrace_status headrace_group_sum(headrace_group* group,
                                   float* values,
                                   uint64_t count,
                                   void* stream) {
  return abi::call("group_sum", [&] {
    abi::need(group != nullptr, "group is null");
    abi::need_array(values, count, "values");
    group->need_alive();
    if (count == 0) return;
    group->started(nccl().all_reduce(
                       values, values, count, ncclFloat, ncclSum, group->comm, as_stream(stream)),
                   "ncclAllReduce");
  });
}

headrace_status headrace_group_broadcast(
    headrace_group* group, float* values, uint64_t count, int32_t root, void* stream) {
  return abi::call("group_broadcast", [&] {
    abi::need(group != nullptr, "group is null");
    abi::need_array(values, count, "values");
    abi::need(root >= 0 && root < group->size, "root is not in 0 to size - 1");
    group->need_alive();
    if (count == 0) return;
    group->started(
        nccl().broadcast(values, values, count, ncclFloat, root, group->comm, as_stream(stream)),
        "ncclBroadcast");
  });
}

headrace_status headrace_group_wait(headrace_group* group, void* stream) {
  return abi::call("group_wait", [&] {
    abi::need(group != nullptr, "group is null");
    group->need_alive();
    group->wait_until([&] {
      const cudaError_t state = cudaStreamQuery(as_stream(stream));
      if (state == cudaErrorNotReady) cudaGetLastError();  // or the next call would report it
      if (state != cudaErrorNotReady) check_cuda(state, "cudaStreamQuery");
      return state == cudaSuccess;
    });
  });
}

headrace_status headrace_group_free(headrace_group* group) {
  return abi::call("group_free", [&] {
    const std::unique_ptr<headrace_group> ended(group);
    if (ended != nullptr && ended->comm != nullptr) nccl().comm_destroy(ended->comm);
  });
}

}  // extern "C"
