#include "worker/join/joiner.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <limits>
#include <string>

namespace headrace::worker {
namespace {

constexpr std::uint64_t all_time = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t key_seed = 0x6A6F696E;  // of the hashes that are saved: frozen
// Looked up in the store at once, at least one; of bytes a part of what memory may hold.
constexpr std::size_t fetched_samples = 512;
constexpr std::size_t fetched_bytes = std::size_t{1} << 20;
constexpr std::uint64_t fetched_part = 4;

// Sums of times end just before all_time, which `finish` makes the watermark.
constexpr std::uint64_t plus(std::uint64_t a, std::uint64_t b) {
  return a < all_time - 1 - std::min(b, all_time - 1) ? a + b : all_time - 1;
}
constexpr std::uint64_t minus(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

schemas::hash128 hash_of(std::string_view key) {
  return schemas::hash128_of(std::as_bytes(std::span(key)), key_seed);
}

error out_of_range(const char* field, const char* accepted) {
  return {errc::bad_config, std::string("join: ") + field + " must be " + accepted};
}

}  // namespace

result<void> check_join(const join_spec& how) {
  if (how.actions < 1 || how.actions > 64) return out_of_range("actions", "1 … 64 kinds");
  if (!(how.negative_share > 0.0F && how.negative_share <= 1.0F))
    return out_of_range("negative_share", "above 0 and at most 1");
  if (how.pending_max < 1 || how.pending_max > 0x7FFFFFFF)
    return out_of_range("pending_max", "1 … 2147483647");
  return {};
}

joiner::joiner(join_spec how, storage::spill_store* spill, std::uint64_t secret)
    : how_(how),
      all_actions_(how.actions < 64 ? (std::uint64_t{1} << how.actions) - 1 : all_time),
      table_(secret),
      queue_(plus(how.window_ms, how.correct_ms) / 1024),
      pool_(how.memory_bytes_max, spill) {
  CHECK(check_join(how).ok());
}

void joiner::impression(std::string_view key,
                        std::uint64_t time_ms,
                        std::uint64_t arrived_ms,
                        std::span<const std::byte> payload) {
  arrive(time_ms, arrived_ms);
  ++count_.impressions;
  join_entry one;
  one.key = hash_of(key);
  if (const auto known = table_.find(one.key);
      known != join_table::none && table_.at(known).is_impression()) {
    ++count_.repeated;
    return;
  }
  make_room(payload.size());
  one.time_ms = time_ms;
  one.sequence = next_sequence_++;
  one.state = join_state::pending;
  one.payload = pool_.add(payload);
  const std::uint32_t waiting = table_.detach(one.key);
  const std::uint32_t entry = table_.add(one);
  queue_.push({deadline(one), one.sequence, entry});
  take_waiting(entry, waiting);
  expire();
}

void joiner::action(std::string_view key,
                    std::uint64_t time_ms,
                    std::uint64_t arrived_ms,
                    std::uint32_t kind) {
  CHECK(kind < how_.actions);
  arrive(time_ms, arrived_ms);
  ++count_.actions;
  join_entry one;
  one.key = hash_of(key);
  if (const auto known = table_.find(one.key);
      known != join_table::none && table_.at(known).is_impression()) {
    match(known, time_ms, kind);
    return;
  }
  one.time_ms = time_ms;
  one.kind = static_cast<std::uint8_t>(kind);
  if (deadline(one) < watermark_) {
    ++count_.expired_actions;
    return;
  }
  make_room(0);
  one.sequence = next_sequence_++;
  queue_.push({deadline(one), one.sequence, table_.add(one)});
}

void joiner::idle(std::uint64_t stamp_ms) {
  if (!begun_) return;
  decided_at_ = stamp_ms;
  const std::uint64_t now = plus(newest_, minus(stamp_ms, last_arrived_));
  watermark_ = std::max(watermark_, minus(now, how_.out_of_order_ms));
  expire();
}

void joiner::finish() {
  watermark_ = all_time;
  decided_at_ = last_arrived_;
  expire();
}

// An event of this time moves the watermark, which ends what it passes.
void joiner::arrive(std::uint64_t time_ms, std::uint64_t arrived_ms) {
  if (time_ms < watermark_) ++count_.late_events;
  begun_ = true;
  newest_ = std::max(newest_, time_ms);
  last_arrived_ = std::max(last_arrived_, arrived_ms);
  decided_at_ = arrived_ms;
  watermark_ = std::max(watermark_, minus(newest_, how_.out_of_order_ms));
  expire();
}

void joiner::expire() {
  expiry_queue::item first;
  while (queue_.pop_before(watermark_, first)) end(first, false);
}

// The end of an entry's window, of its memory, or of an action's wait.
std::uint64_t joiner::deadline(const join_entry& of) const {
  if (!of.is_impression()) return plus(of.time_ms, how_.early_ms);
  const std::uint64_t end = plus(of.time_ms, how_.window_ms);
  return of.state == join_state::pending ? end : plus(end, how_.correct_ms);
}

// `early`: there is no room for it, whatever it waits for.
void joiner::end(const expiry_queue::item& at, bool early) {
  join_entry& one = table_.at(at.entry);
  switch (one.state) {
    case join_state::waiting:
      ++count_.expired_actions;
      break;
    case join_state::gone:
      break;
    case join_state::pending:
      close(one);
      count_.closed_early += early ? 1 : 0;
      [[fallthrough]];
    case join_state::decided:
      if (const std::uint64_t until = deadline(one); !early && until > at.deadline) {
        queue_.push({until, one.sequence, at.entry});
        return;
      }
      release(one);
      break;
  }
  table_.remove(at.entry);
}

// The window ended, or has to.
void joiner::close(join_entry& one) {
  one.state = join_state::decided;
  if (one.actions != 0 || keeps_negative(one.key)) {
    ++(one.actions != 0 ? count_.positives : count_.negatives);
    send(one, join_outcome::closed);
  } else {
    ++count_.left_out;
  }
  if ((one.behind & ~one.actions) == 0) return;
  one.actions |= one.behind;
  ++count_.corrections;
  send(one, join_outcome::correction);
  if (one.actions == all_actions_) release(one);
}

bool joiner::keeps_negative(const schemas::hash128& key) const {
  return unit_float(counter_draw(how_.seed, key.low, key.high)) < how_.negative_share;
}

// An action and an impression of its key.
void joiner::match(std::uint32_t entry, std::uint64_t time_ms, std::uint32_t kind) {
  join_entry& one = table_.at(entry);
  const std::uint64_t bit = std::uint64_t{1} << kind;
  const std::uint64_t end = plus(one.time_ms, how_.window_ms);
  if (time_ms < minus(one.time_ms, how_.early_ms) || time_ms > plus(end, how_.correct_ms)) {
    ++count_.expired_actions;
    return;
  }
  const bool decided = one.state == join_state::decided;
  const bool in_window = time_ms <= end;
  if (((in_window ? one.actions : one.actions | one.behind) & bit) != 0) {
    ++count_.repeated_actions;
  } else if (decided) {
    ++count_.correcting;
    one.actions |= bit;
    ++count_.corrections;
    send(one, join_outcome::correction);
  } else if (in_window) {
    ++count_.matched;
    one.actions |= bit;
    if (one.actions != all_actions_) return;
    one.state = join_state::decided;
    ++count_.positives;
    send(one, join_outcome::complete);
  } else {
    ++count_.correcting;
    one.behind |= bit;
  }
  if (one.state == join_state::decided && one.actions == all_actions_) release(one);
}

// The actions that came before their impression, in the order they came.
void joiner::take_waiting(std::uint32_t entry, std::uint32_t first) {
  for (std::uint32_t at = first; at != join_table::none; at = table_.at(at).next)
    match(entry, table_.at(at).time_ms, table_.at(at).kind);
}

void joiner::send(const join_entry& of, join_outcome outcome) {
  ready_.push_back({of.payload, true, outcome, of.time_ms, of.actions, decided_at_});
}

// The payload goes when what is ready of it was taken.
void joiner::release(join_entry& of) {
  const std::uint32_t payload = std::exchange(of.payload, payload_pool::none);
  if (payload == payload_pool::none) return;
  if (ready_.empty()) {
    pool_.remove(payload);
    return;
  }
  leaving_ += payload_pool::cost(pool_.size_of(payload));
  ready_.push_back({payload, false, join_outcome::closed, 0, 0, 0});
}

// Ends what would end first until one more entry has room.
void joiner::make_room(std::size_t payload_bytes) {
  const auto full = [&] {
    if (table_.size() >= how_.pending_max) return true;
    if (how_.memory_bytes_max == 0 || pool_.spills()) return false;
    return pool_.bytes_used() - leaving_ + payload_pool::cost(payload_bytes) >
           how_.memory_bytes_max;
  };
  expiry_queue::item first;
  while (full() && queue_.pop(first)) end(first, true);
}

bool joiner::take(joined_sample& into) {
  while (!ready_.empty() && !ready_.front().sample) {
    const std::uint32_t payload = ready_.front().payload;
    leaving_ -= payload_pool::cost(pool_.size_of(payload));
    pool_.remove(payload);
    ready_.pop_front();
  }
  if (ready_.empty() || failure()) return false;
  const ready_sample first = ready_.front();
  if (!pool_.in_memory(first.payload) && !fetch()) return false;
  ready_.pop_front();
  into = {pool_.get(first.payload), first.time_ms, first.actions, first.arrived_ms, first.outcome};
  return true;
}

// Payloads of the next samples from the store.
bool joiner::fetch() {
  std::vector<std::uint32_t> wanted;
  std::size_t bytes = 0;
  const std::size_t bytes_most =
      std::min<std::uint64_t>(fetched_bytes, how_.memory_bytes_max / fetched_part);
  for (const ready_sample& one : ready_) {
    if (!one.sample) continue;
    wanted.push_back(one.payload);
    bytes += pool_.size_of(one.payload);
    if (wanted.size() == fetched_samples || bytes >= bytes_most) break;
  }
  return pool_.fetch(wanted);
}

}  // namespace headrace::worker
