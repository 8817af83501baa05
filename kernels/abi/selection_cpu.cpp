#include "kernels/abi/cpu_call.hpp"
#include "kernels/abi/selection_checks.hpp"
#include "kernels/dedup/dedup.hpp"
#include "kernels/gather_rows/gather_rows.hpp"
#include "kernels/top_k/top_k.hpp"

#include <algorithm>
#include <span>
#include <vector>

// headrace_gather_rows, headrace_top_k and headrace_dedup on the CPU.
using namespace headrace::kernels;

namespace {

/// Pointers to rows.
std::size_t gather_bytes(const headrace_gather_rows_args& args) {
  abi::check_gather_sizes(args);
  return abi::product(args.rows, sizeof(const std::byte*), "rows");
}

void gather(const headrace_gather_rows_args& args, const std::byte** pointers) {
  abi::need_index({args.index, args.rows}, args.table_rows + args.more_rows, "index");
  const auto* table = static_cast<const std::byte*>(args.table);
  const auto* more = static_cast<const std::byte*>(args.more);
  for (std::size_t i = 0; i < args.rows; ++i) {
    const std::uint64_t row = args.index[i];
    pointers[i] = row < args.table_rows ? table + row * args.row_bytes
                                        : more + (row - args.table_rows) * args.row_bytes;
  }
  const bool coded = args.dtype == HEADRACE_I8;
  const std::size_t bytes = args.rows * args.dim * abi::dtype_bytes(args.dtype);
  gather_rows({.stored = static_cast<value_format>(args.stored),
               .rows = {pointers, args.rows},
               .absent_rows = {},
               .dim = args.dim,
               .to = static_cast<value_format>(args.dtype),
               .values = {static_cast<std::byte*>(args.values), bytes},
               .scales = {args.scales, coded ? args.rows : 0}});
}

std::size_t top_k_bytes(const headrace_top_k_args& args) {
  abi::check_top_k_sizes(args);
  return top_k_workspace() * sizeof(std::uint32_t);
}

/// Its memory comes from the heap: it grows with the keys that differ.
void find_unique(const headrace_dedup_args& args) {
  dedup_scratch scratch;
  std::vector<std::uint64_t> unique;
  std::vector<std::uint32_t> inverse;
  std::vector<std::uint32_t> counts;
  dedup({{args.keys, args.count}, scratch, unique, inverse, counts});
  std::copy(unique.begin(), unique.end(), args.unique);
  std::copy(inverse.begin(), inverse.end(), args.inverse);
  std::copy(counts.begin(), counts.end(), args.counts);
  *args.unique_count = static_cast<std::uint32_t>(unique.size());
}

}  // namespace

extern "C" {

headrace_status headrace_gather_rows(const headrace_gather_rows_args* given,
                                     void* stream,
                                     void* workspace,
                                     size_t workspace_bytes) {
  return abi::entry("gather_rows", given, [&](const headrace_gather_rows_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, gather_bytes(args));
    if (args.rows != 0) gather(args, static_cast<const std::byte**>(workspace));
  });
}

size_t headrace_gather_rows_workspace(const headrace_gather_rows_args* given) {
  return abi::workspace_query("gather_rows", given, gather_bytes);
}

headrace_status headrace_top_k(const headrace_top_k_args* given,
                               void* stream,
                               void* workspace,
                               size_t workspace_bytes) {
  return abi::entry("top_k", given, [&](const headrace_top_k_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, top_k_bytes(args));
    if (args.k == 0) return;
    top_k({.values = {args.values, args.count},
           .indices = {args.indices, args.k},
           .selected = {args.selected, args.k},
           .workspace = {static_cast<std::uint32_t*>(workspace), top_k_workspace()}});
  });
}

size_t headrace_top_k_workspace(const headrace_top_k_args* given) {
  return abi::workspace_query("top_k", given, top_k_bytes);
}

headrace_status headrace_dedup(const headrace_dedup_args* given, void* stream, void*, size_t) {
  return abi::entry("dedup", given, [&](const headrace_dedup_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    find_unique(args);
  });
}

size_t headrace_dedup_workspace(const headrace_dedup_args* given) {
  return abi::workspace_query("dedup", given, [](const headrace_dedup_args& args) {
    abi::check_dedup_sizes(args);
    return std::size_t{0};
  });
}

}  // extern "C"
