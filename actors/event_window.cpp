#include "actors/event_window.hpp"

#include <algorithm>

namespace headrace::actors {
namespace {

/// Refusals that may pass: nothing was taken, and the same bytes are welcome later.
bool may_pass(errc status) {
  return is_transient(status) || status == errc::io_error || status == errc::disk_full;
}

}  // namespace

void event_window::add(frame push, on_answer done) {
  bytes_ += push.size();
  batches_.push_back({std::move(push), std::move(done), 0, how_.resend_after_ms, false, {}});
}

std::optional<event_window::request> event_window::next(std::uint64_t now_ms) {
  if (now_ms < held_until_ms_) return std::nullopt;
  const std::size_t end = std::min<std::size_t>(batches_.size(), how_.in_flight_max);
  for (std::size_t i = 0; i < end; ++i) {
    batch& one = batches_[i];
    if (one.ack || now_ms < one.due_ms) continue;
    ++count_.sent;
    if (one.sent) {
      ++count_.sent_again;
      one.patience_ms = std::min(2 * one.patience_ms, how_.resend_after_ms_max);
    }
    one.sent = true;
    one.due_ms = now_ms + one.patience_ms;
    return request{first_id_ + i, one.push};
  }
  return std::nullopt;
}

std::optional<std::uint64_t> event_window::wake_at() const {
  std::optional<std::uint64_t> soonest;
  const std::size_t end = std::min<std::size_t>(batches_.size(), how_.in_flight_max);
  for (std::size_t i = 0; i < end; ++i) {
    if (batches_[i].ack) continue;
    const std::uint64_t due = std::max(batches_[i].due_ms, held_until_ms_);
    soonest = soonest ? std::min(*soonest, due) : due;
  }
  return soonest;
}

event_window::batch* event_window::find(std::uint64_t id) {
  if (id < first_id_ || id - first_id_ >= batches_.size()) return nullptr;
  return &batches_[static_cast<std::size_t>(id - first_id_)];
}

void event_window::answer(std::uint64_t id, schemas::event_ack ack, std::uint64_t now_ms) {
  batch* const one = find(id);
  if (one == nullptr || !one->sent || one->ack) return;
  if (!may_pass(ack.status)) {
    one->ack = std::move(ack);
    return;
  }
  ++count_.overloaded;
  const std::uint64_t asked = ack.retry_after_ms != 0 ? ack.retry_after_ms : how_.resend_after_ms;
  const std::uint64_t pause = std::min(asked, how_.hold_ms_max);
  one->due_ms = now_ms + pause;
  held_until_ms_ = std::max(held_until_ms_, one->due_ms);
}

std::vector<event_window::answered> event_window::take_answered() {
  std::vector<answered> taken;
  while (!batches_.empty() && batches_.front().ack) {
    batch& first = batches_.front();
    bytes_ -= first.push.size();
    taken.emplace_back(std::move(first.done), std::move(*first.ack));
    batches_.pop_front();
    ++first_id_;
  }
  return taken;
}

std::vector<event_window::on_answer> event_window::take_all() {
  std::vector<on_answer> taken;
  for (batch& one : batches_) taken.push_back(std::move(one.done));
  first_id_ += batches_.size();
  batches_.clear();
  bytes_ = 0;
  return taken;
}

}  // namespace headrace::actors
