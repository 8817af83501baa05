#pragma once

#include "worker/ingest/source_spec.hpp"

#include <array>
#include <cstdint>
#include <string>

namespace headrace::fuzz {

/// A source of three columns: label, id or time, number. `choice` picks format, separator, quotes,
/// time and what the number becomes.
inline worker::source_spec text_source(std::uint8_t choice, const std::string& path) {
  static const std::array<std::string, 4> separators{",", "\t", "::", ",,"};
  worker::source_spec spec;
  spec.uri = path;
  spec.separator = separators[choice % 4];
  spec.quotes = (choice & 4) != 0;
  spec.header = false;
  spec.row_bytes_max = 64;
  spec.bad_rows_max = 1'000'000;
  spec.label = {"1", worker::label_spec::comparison::greater_equal, 4};
  spec.time_column = (choice & 8) != 0 ? "2" : "";
  spec.time_format = (choice & 16) != 0 ? "%Y-%m-%d %H:%M:%S" : "unix_ms";
  worker::feature_spec bucket{
      "b", "3", worker::feature_kind::float_value, "b", {worker::transform::log1p}, 0.5};
  if ((choice & 32) != 0) bucket.transforms.push_back(worker::transform::bucket);
  spec.features = {{"a", "2", worker::feature_kind::id, "a", {}, 1}, bucket};
  if (choice >= 128) spec.format = worker::row_format::jsonl;
  if ((choice & 192) == 192) {
    spec.format = worker::row_format::libsvm;
    spec.label.column = "label";
    spec.features.push_back({"c", "indices", worker::feature_kind::ids, "c", {}});
  }
  return spec;
}

}  // namespace headrace::fuzz
