#pragma once

#include <nccl.h>

namespace headrace::kernels {

/// libnccl.so.2, opened once and kept.
struct nccl_library {
  decltype(ncclGetUniqueId)* get_unique_id;
  decltype(ncclCommInitRankConfig)* comm_init_rank_config;
  decltype(ncclCommGetAsyncError)* comm_get_async_error;
  decltype(ncclCommAbort)* comm_abort;
  decltype(ncclCommDestroy)* comm_destroy;
  decltype(ncclAllReduce)* all_reduce;
  decltype(ncclBroadcast)* broadcast;
  decltype(ncclGetErrorString)* get_error_string;
};

/// Ends the entry that asks (abi/entry.hpp), HEADRACE_UNSUPPORTED, where the library is missing, is
/// another than NCCL or is older than the header this was compiled with. Thread-safe.
const nccl_library& nccl();

}  // namespace headrace::kernels
