#pragma once

#include "base/result.hpp"
#include "ps/shard/position_state.hpp"
#include "schemas/schema.hpp"
#include "storage/checkpoint_manifest.hpp"
#include "storage/job_folder.hpp"
#include "storage/row_store.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace headrace::cli {

/// Smallest and largest batch over the shards, for each (source, lane) that moved; a shard that
/// never met a source has batch 0 of it. One saved push_rule for each shard. Fails: corrupt.
result<std::vector<storage::checkpoint_manifest::watermark>> watermarks_of(
    std::span<const std::vector<std::byte>> saved);

/// What a row store holds by its positions: the contents of CHECKPOINT. Fails: corrupt, io_error.
result<storage::checkpoint_manifest> describe_rows(const storage::job_identity& job,
                                                   const schemas::job_schema& schema,
                                                   storage::row_store& rows,
                                                   std::uint64_t now_ms);

}  // namespace headrace::cli
