#pragma once

#include "base/result.hpp"
#include "storage/checkpoint_archive.hpp"
#include "storage/object_store.hpp"

#include <cstdint>
#include <filesystem>
#include <vector>

namespace headrace::storage {

/// What reading a whole archive back found.
struct archive_findings {
  std::uint64_t checkpoints = 0;  // that can be read
  std::uint64_t objects = 0;      // read, each once
  std::uint64_t bytes = 0;
  std::vector<error> damaged;  // manifests and objects, and why; empty: all of it is good
};

/// Reads every manifest of `archive` and every object that one refers to, through `scratch`, a
/// folder that exists. `store` is another opening of the same store. Fails where the store does
/// (unavailable, io_error …): then nothing is known.
result<archive_findings> check_archive(checkpoint_archive& archive,
                                       object_store& store,
                                       const std::filesystem::path& scratch);

}  // namespace headrace::storage
