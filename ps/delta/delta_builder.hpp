#pragma once

#include "base/frame.hpp"
#include "ps/delta/change_index.hpp"
#include "ps/shard/shard.hpp"
#include "schemas/delta.hpp"

#include <cstdint>
#include <span>
#include <vector>

/// Deltas of a shard: which rows comes from a feed, what they are from the shard.
///
///     begin_feed → (change_index::plan → open_set, fetch, fill_set → build_delta → close_set) …
///
/// The working set is needed where rows may lie in the store only; values are those of the moment
/// of building, never older than the version that the plan says.
namespace headrace::ps {

/// Of one row of each table in a delta, its key included.
std::vector<std::size_t> delta_row_bytes(const schemas::job_schema& schema,
                                         std::span<const schemas::value_codec> codecs);

/// Opens a feed whose first generation is every row of the shard in DRAM. Where some lie in the
/// store only it waits for them: their keys go to `delta_feed::add_first` from a scan of the store
/// that began later, then `all_known`.
delta_feed& begin_feed(change_index& changes,
                       const shard& of,
                       std::uint64_t session,
                       const feed_limits& limits = {});

/// Keys to open a working set of; spans over the plan.
std::vector<schemas::pull_block> rows_needed(const delta_plan& plan);
/// The message. A key without a live row becomes a tombstone.
frame build_delta(const shard& of,
                  const delta_plan& plan,
                  std::span<const schemas::value_codec> codecs);

}  // namespace headrace::ps
