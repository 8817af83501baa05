#pragma once

#include "worker/ingest/event_source.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace headrace::worker {

/// An event as bytes and back, all but its row number and arrival: what a join keeps of an
/// impression. The bytes stay in this process or in its own files, so they have no version.
void pack(const event& from, std::vector<std::byte>& into);
/// False when `bytes` is not what `pack` made.
bool unpack(std::span<const std::byte> bytes, event& into);

}  // namespace headrace::worker
