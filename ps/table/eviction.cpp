#include "ps/table/eviction.hpp"

#include "ps/cache/admitting_clock.hpp"
#include "ps/cache/use_history.hpp"

#include <algorithm>

namespace headrace::ps {
namespace {

constexpr std::uint32_t held = row_flag::dirty | row_flag::writing | row_flag::pinned;
// First victims are about equally old: where so many wait to be written, the others do, too.
constexpr std::size_t first_victims_tried = 256;
constexpr std::uint32_t marks = row_flag::newcomer | row_flag::first_victim;

bool may_leave(const row_header& row, lsn settled) {
  return (row.flags & held) == 0 && row.lsn <= settled.value;
}

}  // namespace

static_assert(half_life_uses_per_entry == 4, "the notes of `used` are as many");

eviction::eviction(row_slab& rows, std::size_t rows_max)
    : rows_(&rows),
      rows_max_(rows_max),
      first_victims_max_(rows_max / admitting_clock::entries_per_first_victim) {}

void eviction::used(std::size_t rows, std::uint64_t stamp_ms) {
  if (rows_max_ == 0) return;
  now_ms_ = std::max(now_ms_, stamp_ms);
  used_since_note_ += rows;
  if (used_since_note_ < rows_->live()) return;
  used_since_note_ = 0;
  noted_ms_[notes_++ % noted_ms_.size()] = now_ms_;
}

std::uint64_t eviction::half_life_ms() const {
  const std::size_t oldest = notes_ % noted_ms_.size();
  return notes_ < noted_ms_.size() ? 0 : now_ms_ - noted_ms_[oldest];
}

std::uint32_t eviction::known(const row_header& row) const {
  const std::uint64_t idle = now_ms_ - std::min(now_ms_, row.last_seen_ms);
  return standing(row.count, idle, half_life_ms());
}

void eviction::arrived(row_header& row) {
  if (!over()) return;
  row.flags |= row_flag::newcomer;
  newcomers_.push_back({&row, known(row) + 1});
}

row_header* eviction::next(lsn settled, std::size_t& steps) {
  row_header* const found = victim(settled, steps);
  if (found == nullptr) return nullptr;
  while (!newcomers_.empty() && (newcomers_.front().row->flags & row_flag::newcomer) == 0)
    newcomers_.pop_front();  // was dropped
  if (newcomers_.empty()) {
    pass();
    return found;
  }
  const newcomer fresh = newcomers_.front();
  const bool stays = first_victims_max_ == 0 || fresh.known > known(*found);
  const bool room = first_victims_.size() < first_victims_max_;
  row_header* const leaves = stays || room ? found : first_victim(settled, steps);
  if (leaves == nullptr) return nullptr;  // all of them wait to be written
  newcomers_.pop_front();
  fresh.row->flags &= ~row_flag::newcomer;
  if (!stays) {
    fresh.row->flags |= row_flag::first_victim;
    first_victims_.push_back(fresh.row);
  }
  if (leaves == found) pass();
  return leaves;
}

row_header* eviction::victim(lsn settled, std::size_t& steps) {
  for (; steps > 0; --steps, pass()) {
    if (hand_ >= rows_->rows()) hand_ = 0;
    if (in_vain_ > rows_->rows()) forget_marks();
    row_header& row = *rows_->at(hand_);
    ++in_vain_;
    if ((row.flags & (row_flag::free_slot | marks)) != 0 || !may_leave(row, settled)) continue;
    in_vain_ = 0;
    if ((row.flags & row_flag::referenced) == 0) return &row;
    row.flags -= row_flag::referenced_once;
  }
  return nullptr;
}

row_header* eviction::first_victim(lsn settled, std::size_t& steps) {
  const std::size_t tries = std::min({steps, first_victims_.size(), first_victims_tried});
  for (std::size_t i = 0; i < tries; ++i, --steps) {
    row_header* const oldest = first_victims_.front();
    first_victims_.pop_front();
    if ((oldest->flags & row_flag::first_victim) == 0) continue;  // was dropped
    if (may_leave(*oldest, settled)) return oldest;
    first_victims_.push_back(oldest);
  }
  return nullptr;
}

/// Where the hand went round and met nobody who may leave, the marks are in the way.
void eviction::forget_marks() {
  in_vain_ = 0;
  for (const newcomer& each : newcomers_) each.row->flags &= ~row_flag::newcomer;
  for (row_header* each : first_victims_) each->flags &= ~row_flag::first_victim;
  newcomers_.clear();
  first_victims_.clear();
}

void eviction::pass() { ++hand_; }

}  // namespace headrace::ps
