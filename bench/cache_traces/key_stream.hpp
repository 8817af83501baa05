#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::bench {

/// Keys in the order they are used.
struct key_stream {
  std::string name;
  std::vector<std::uint64_t> keys;
  std::size_t distinct = 0;  // in the stream; what it is drawn from when generated
  std::size_t warm_up = 0;   // first keys, not counted
};

/// A recorded trace: big-endian signed keys of `width` bytes (4 or 8), nothing else, from an .xz
/// file. Everything counts. Fails: not_found, bad_input.
result<key_stream> read_trace(std::string_view name, const std::string& path, std::size_t width);

/// The recorded traces below `data` (HEADRACE_DATA): scarab-recs, web07, web12. Fails: as
/// `read_trace`.
result<std::vector<key_stream>> read_traces(const std::string& data);

/// Zipf 0.99 over `rows` keys as in rows-64: mix64(rank) with the top bit cleared. `batch` > 1:
/// batches of so many distinct keys, each key once a batch, as tables see them. The first half
/// warms up.
key_stream zipf_stream(std::size_t rows, std::size_t uses, std::size_t batch);

/// Zipf 0.99 whose popular keys are others after every `uses` / 8 uses, with every fourth use a key
/// that never comes again: drift and scan.
key_stream drifting_stream(std::size_t rows, std::size_t uses);

}  // namespace headrace::bench
