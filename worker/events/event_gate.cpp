#include "worker/events/event_gate.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace headrace::worker {
namespace {

using schemas::event_fault;

}  // namespace

event_gate::counters& event_gate::counters::operator+=(const counters& other) {
  accepted += other.accepted;
  duplicates += other.duplicates;
  for (std::size_t f = 0; f < refused.size(); ++f) refused[f] += other.refused[f];
  return *this;
}

event_gate::event_gate(settings how, event_schema schema)
    : how_(std::move(how)), schema_(std::move(schema)) {
  if (how_.duplicate_ids > 0) ids_.emplace(how_.duplicate_ids, how_.secret);
}

std::optional<event_gate::problem> event_gate::check_names(const schemas::event_head& event) const {
  if (how_.needs_id && event.id.empty()) {
    return problem{event_fault::no_id,
                   "id: the job needs one, to know the event when it comes again"};
  }
  if (schema_.joins() && event.key.empty()) {
    return problem{event_fault::no_key,
                   "key: the job needs one, to join impressions with their actions"};
  }
  return std::nullopt;
}

std::optional<event_gate::problem> event_gate::check_time(std::uint64_t time_ms,
                                                          std::uint64_t now_ms) const {
  const auto off_by = [](std::uint64_t distance, const char* where, std::uint64_t max) {
    return problem{event_fault::bad_time,
                   "time: " + std::to_string(distance) + " ms in the " + where +
                       "; accepted are at most " + std::to_string(max)};
  };
  if (time_ms > now_ms && time_ms - now_ms > how_.future_ms_max)
    return off_by(time_ms - now_ms, "future", how_.future_ms_max);
  if (how_.past_ms_max > 0 && time_ms < now_ms && now_ms - time_ms > how_.past_ms_max)
    return off_by(now_ms - time_ms, "past", how_.past_ms_max);
  return std::nullopt;
}

std::optional<event_gate::problem> event_gate::check_version(std::uint32_t version) const {
  const auto& taken = how_.schema_versions;
  if (taken.empty() || std::find(taken.begin(), taken.end(), version) != taken.end())
    return std::nullopt;
  std::string accepted;
  for (const std::uint32_t each : taken)
    accepted += (accepted.empty() ? "" : ", ") + std::to_string(each);
  return problem{
      event_fault::wrong_schema,
      "schema_version: this is " + std::to_string(version) + ", accepted is " + accepted};
}

std::optional<event_gate::problem> event_gate::check(const schemas::event_batch& batch,
                                                     const event_schema::names& known,
                                                     std::size_t i,
                                                     std::uint64_t now_ms) const {
  const schemas::event_head& event = batch.events[i];
  if (auto found = schema_.check_action(batch, known, i)) return found;
  if (auto found = check_names(event)) return found;
  if (auto found = check_time(event.time_ms, now_ms)) return found;
  if (auto found = check_version(batch.schema_version)) return found;
  return schema_.check(batch, known, i);
}

gate_verdict event_gate::judge(const schemas::event_batch& batch, std::uint64_t now_ms) {
  judged_batch judged;
  try {
    gate_verdict verdict = judge(batch, now_ms, judged);
    judged_.push_back(judged);
    return verdict;
  } catch (...) {
    if (ids_) ids_->take_back(judged.added);
    throw;
  }
}

gate_verdict event_gate::judge(const schemas::event_batch& batch,
                               std::uint64_t now_ms,
                               judged_batch& judged) {
  const event_schema::names known = schema_.look_up(batch);
  gate_verdict verdict;
  std::vector<std::byte> left_out;
  const auto leave_out = [&](std::size_t i) {
    if (left_out.empty()) left_out.resize((batch.events.size() + 7) / 8);
    left_out[i / 8] |= std::byte{1} << (i % 8);
  };
  for (std::size_t i = 0; i < batch.events.size(); ++i) {
    if (auto found = check(batch, known, i, now_ms)) {
      leave_out(i);
      ++judged.count.refused.at(static_cast<std::size_t>(found->fault));
      ++verdict.ack.refused;
      if (verdict.ack.refusals.size() < schemas::refusals_max) {
        verdict.ack.refusals.push_back(
            {static_cast<std::uint32_t>(i), found->fault, std::move(found->detail)});
      }
      continue;
    }
    if (ids_ && !batch.events[i].id.empty()) {
      if (!ids_->add(batch.events[i].id)) {
        leave_out(i);
        ++judged.count.duplicates;
        continue;
      }
      ++judged.added;
    }
    ++judged.count.accepted;
  }
  verdict.ack.accepted = static_cast<std::uint32_t>(judged.count.accepted);
  verdict.ack.duplicates = static_cast<std::uint32_t>(judged.count.duplicates);
  if (!left_out.empty()) verdict.left_out = frame::copy_of(left_out);
  return verdict;
}

void event_gate::commit() {
  CHECK(!judged_.empty());
  count_ += judged_.front().count;
  if (ids_) ids_->settle(judged_.front().added);
  judged_.pop_front();
}

void event_gate::roll_back() {
  if (ids_) ids_->take_back(ids_->open());
  judged_.clear();
}

void event_gate::remember(const schemas::event_batch& batch, const frame& left_out) {
  CHECK(judged_.empty());
  if (!ids_) return;
  for (std::size_t i = 0; i < batch.events.size(); ++i) {
    if (!batch.events[i].id.empty() && !is_left_out(left_out, i))
      piece_.push_back(duplicate_window::hash_of(batch.events[i].id));
  }
  if (piece_.size() / 2 > how_.duplicate_ids)
    piece_.erase(piece_.begin(), piece_.end() - static_cast<std::ptrdiff_t>(how_.duplicate_ids));
}

bool event_gate::end_piece() {
  const std::vector<duplicate_window::hash> piece = std::exchange(piece_, {});
  const auto known = [this](const auto& id) { return ids_->add_older(id); };
  return ids_ && std::all_of(piece.rbegin(), piece.rend(), known);
}

bool is_left_out(const frame& left_out, std::size_t event) {
  const auto bytes = left_out.bytes();
  if (event / 8 >= bytes.size()) return false;
  return (bytes[event / 8] & (std::byte{1} << (event % 8))) != std::byte{0};
}

}  // namespace headrace::worker
