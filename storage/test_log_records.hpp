#pragma once

#include "base/random.hpp"
#include "storage/ordered_log.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// Records that tests of logs append: what stands at a position follows from its number.
namespace headrace::storage {

inline frame text_frame(const std::string& text) {
  return frame::copy_of(std::as_bytes(std::span(text)));
}

inline std::string text_of(const frame& bytes) {
  return {reinterpret_cast<const char*>(bytes.bytes().data()), bytes.size()};
}

inline log_record record_at(std::uint64_t position) {
  log_record record;
  record.lsn = lsn{position};
  record.epoch = epoch{position % 3};
  record.stamp_ms = 1'000 + position;
  record.schema_version = static_cast<std::uint32_t>(position % 5);
  record.kind = position % 4 == 0 ? record_kind::voided : record_kind::push;
  record.reason = position % 4 == 0 ? errc::bad_dims : errc::ok;
  if (position % 6 == 0) record.decisions = text_frame(std::string(position % 13, 'd'));
  record.payload =
      text_frame(std::string(mix64(position) % 90, static_cast<char>('a' + position % 26)));
  return record;
}

inline std::vector<std::uint64_t> range(std::uint64_t first, std::uint64_t last) {
  std::vector<std::uint64_t> all;
  for (std::uint64_t at = first; at <= last; ++at) all.push_back(at);
  return all;
}

}  // namespace headrace::storage
