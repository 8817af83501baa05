#include "worker/batch/sample_retention.hpp"

#include <utility>

namespace headrace::worker {

sample_retention::sample_retention(settings how) : how_(std::move(how)) {}

void sample_retention::earlier(batch_number through, std::uint64_t stamp_ms, std::uint64_t bytes) {
  kept_.push_back({through, stamp_ms, bytes});
  bytes_ += bytes;
}

std::optional<batch_number> sample_retention::sealed(batch_number batch,
                                                     std::uint64_t stamp_ms,
                                                     std::uint64_t bytes) {
  newest_ = {batch, stamp_ms, newest_.bytes + bytes};
  if (newest_.bytes < how_.stretch_bytes) return std::nullopt;
  earlier(newest_.through, newest_.stamp_ms, std::exchange(newest_.bytes, 0));
  const auto unwanted = [&](const stretch& oldest) {
    const std::uint64_t age_ms = stamp_ms > oldest.stamp_ms ? stamp_ms - oldest.stamp_ms : 0;
    return (how_.keep_ms > 0 && age_ms > how_.keep_ms) ||
           (how_.keep_bytes > 0 && bytes_ > how_.keep_bytes);
  };
  if (!unwanted(kept_.front()) || !how_.covered) return std::nullopt;
  const batch_number covered = how_.covered();
  std::optional<batch_number> keep_from;
  while (kept_.size() > 1 && unwanted(kept_.front()) && kept_.front().through <= covered) {
    keep_from = batch_number{kept_.front().through.value + 1};
    bytes_ -= kept_.front().bytes;
    kept_.pop_front();
  }
  return keep_from;
}

}  // namespace headrace::worker
