#include "worker/step/push_lanes.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {
namespace {

window_spec dense_spec(window_spec of) {
  of.lane = schemas::lane::dense;
  of.staleness_bound = UINT64_MAX;  // sources are compared by lane rows
  return of;
}

std::vector<outgoing> joined(std::vector<outgoing> all, std::vector<outgoing> more) {
  all.insert(all.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  return all;
}

}  // namespace

push_lanes::push_lanes(window_spec spec,
                       std::vector<batch_number> rows_watermarks,
                       std::vector<batch_number> dense_watermarks,
                       std::uint64_t cadence)
    : rows_(spec, std::move(rows_watermarks)), cadence_(cadence) {
  CHECK(cadence_ > 0);
  rows_had_ = submitted_ = rows_.completed_through();
  if (dense_watermarks.empty()) return;
  dense_had_ = dense_watermarks;
  std::ranges::sort(dense_had_);
  dense_.emplace(dense_spec(std::move(spec)), std::move(dense_watermarks));
  submitted_ = std::min(submitted_, dense_had_.front());
}

bool push_lanes::may_start() const { return rows_.may_start() && (!dense_ || dense_->may_start()); }

void push_lanes::start(batch_number batch, bool last) {
  if (batch > rows_had_) rows_.start(batch);
  if (dense_has(batch)) return;
  const bool due =
      batch.value % cadence_ == 0 || last || std::ranges::binary_search(dense_had_, batch);
  if (!due) return;
  dense_->start(batch);
  dense_due_.push_back(batch);
}

std::vector<outgoing> push_lanes::submit(batch_number batch,
                                         batch_number prev,
                                         std::span<const frame> sections,
                                         std::uint64_t now_ns) {
  CHECK(batch > submitted_);
  submitted_ = batch;
  if (batch <= rows_had_) return {};
  return rows_.submit(batch, prev, sections, now_ns);
}

batch_number push_lanes::completed_through() const {
  return submitted_ < rows_had_ ? submitted_ : rows_.completed_through();
}

bool push_lanes::dense_has(batch_number batch) const {
  return !dense_ || batch <= dense_had_.front();
}

bool push_lanes::dense_is_due(batch_number batch) const {
  return !dense_due_.empty() && dense_due_.front() == batch;
}

std::vector<outgoing> push_lanes::submit_dense(batch_number batch,
                                               std::span<const frame> sections,
                                               std::uint64_t now_ns) {
  CHECK(dense_is_due(batch));
  dense_due_.pop_front();
  return dense_->submit(batch, dense_prev(), sections, now_ns);
}

// A shard that asks for patience asks for that of both lanes.
std::vector<outgoing> push_lanes::on_ack(const schemas::push_ack& ack, std::uint64_t now_ns) {
  if (!dense_) return rows_.on_ack(ack, now_ns);
  if (is_transient(ack.status) && ack.status != errc::gap)
    return joined(rows_.on_ack(ack, now_ns), dense_->on_ack(ack, now_ns));
  return ack.lane == schemas::lane::dense ? dense_->on_ack(ack, now_ns) : rows_.on_ack(ack, now_ns);
}

std::vector<outgoing> push_lanes::on_timeout(std::uint64_t now_ns) {
  auto out = rows_.on_timeout(now_ns);
  return dense_ ? joined(std::move(out), dense_->on_timeout(now_ns)) : out;
}

std::vector<outgoing> push_lanes::finish(std::uint64_t now_ns) {
  auto out = rows_.finish(now_ns);
  return dense_ ? joined(std::move(out), dense_->finish(now_ns)) : out;
}

bool push_lanes::idle() const { return rows_.idle() && (!dense_ || dense_->idle()); }

bool push_lanes::drained() const { return rows_.drained() && (!dense_ || dense_->drained()); }

batch_number push_lanes::safe_through() const {
  return dense_ ? std::min(rows_.safe_through(), dense_->safe_through()) : rows_.safe_through();
}

std::uint64_t push_lanes::resent() const {
  return rows_.resent() + (dense_ ? dense_->resent() : 0);
}

std::uint64_t push_lanes::voided() const {
  return rows_.voided() + (dense_ ? dense_->voided() : 0);
}

std::optional<shard_id> push_lanes::went_back() const {
  const auto back = rows_.went_back();
  return back || !dense_ ? back : dense_->went_back();
}

}  // namespace headrace::worker
