#include "serve/replica_rows.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "kernels/init_rows/init_rows.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <thread>
#include <utility>

namespace headrace::serve {
namespace {

constexpr std::uint32_t first_chunk_rows = 1'024;
constexpr std::size_t few_slots_log2 = 11;
constexpr std::size_t chunk_keys = 64;  // read side by side
constexpr int spins_max = 100;

// Words of a row: counter, key, state, then the row as kernels/stored_weights lays it out.
constexpr std::size_t counter_word = 0;
constexpr std::size_t key_word = 1;
constexpr std::size_t state_word = 2;
constexpr std::size_t head_words = 3;
constexpr std::uint64_t live_bit = 1;  // of the state; its upper half is the mark

using word_ref = std::atomic_ref<std::uint64_t>;

kernels::value_format format_of(schemas::value_codec codec) {
  return static_cast<kernels::value_format>(codec);
}

std::uint32_t chunk_of(std::uint32_t row) {
  return static_cast<std::uint32_t>(std::bit_width(row / first_chunk_rows + 1)) - 1;
}
std::uint32_t rows_before(std::uint32_t chunk) {
  return ((std::uint32_t{1} << chunk) - 1) * first_chunk_rows;
}

}  // namespace

struct replica_rows::index {
  explicit index(std::size_t slots_log2)
      : slots(std::make_unique<slot[]>(std::size_t{1} << slots_log2)),
        mask((std::size_t{1} << slots_log2) - 1),
        shift(static_cast<unsigned>(64 - slots_log2)) {}

  std::size_t bytes() const { return (mask + 1) * sizeof(slot); }
  std::size_t entries_max() const { return (mask + 1) / 8 * 5; }
  const slot& home(std::uint64_t hash) const { return slots[hash >> shift]; }
  /// Number + 1, or 0.
  std::uint32_t find(std::uint64_t key, std::uint64_t hash) const {
    for (std::size_t at = hash >> shift;; at = (at + 1) & mask) {
      const std::uint32_t row = slots[at].row.load(std::memory_order_acquire);
      if (row == 0 || slots[at].key.load(std::memory_order_relaxed) == key) return row;
    }
  }
  void insert(std::uint64_t key, std::uint64_t hash, std::uint32_t row) {
    std::size_t at = hash >> shift;
    while (slots[at].row.load(std::memory_order_relaxed) != 0) at = (at + 1) & mask;
    slots[at].key.store(key, std::memory_order_relaxed);
    slots[at].row.store(row + 1, std::memory_order_release);  // publishes the key beside it
  }

  std::unique_ptr<slot[]> slots;
  std::size_t mask;
  unsigned shift;
};

replica_rows::replica_rows(const schemas::table_spec& spec,
                           schemas::value_codec held,
                           std::uint64_t secret)
    : spec_(spec),
      held_(held),
      secret_(secret),
      stored_bytes_((kernels::stored_bytes(format_of(held), spec.dim) + 7) / 8 * 8),
      row_words_(head_words + stored_bytes_ / 8),
      index_(std::make_shared<index>(few_slots_log2)) {
  CHECK(schemas::is_row_codec(held));
  bytes_ = index_->bytes();
}

replica_rows::~replica_rows() {
  for (auto& chunk : chunks_) delete[] chunk.load(std::memory_order_relaxed);
}

replica_rows::word* replica_rows::at(std::uint32_t row) const {
  const std::uint32_t chunk = chunk_of(row);
  return chunks_[chunk].load(std::memory_order_acquire) +
         std::size_t{row - rows_before(chunk)} * row_words_;
}

std::shared_ptr<const replica_rows::index> replica_rows::current() const {
  const std::lock_guard lock(index_mutex_);
  return index_;
}

// ---- the writer ----

std::uint32_t replica_rows::make_row() {
  if (!free_.empty()) {
    const std::uint32_t row = free_.back();
    free_.pop_back();
    return row;
  }
  const std::uint32_t row = rows_made_;
  const std::uint32_t chunk = chunk_of(row);
  CHECK(chunk < chunks_.size());
  if (row == rows_before(chunk)) {
    const std::size_t words = (std::size_t{first_chunk_rows} << chunk) * row_words_;
    chunks_[chunk].store(new word[words], std::memory_order_release);
  }
  ++rows_made_;
  bytes_.fetch_add(row_words_ * sizeof(word), std::memory_order_relaxed);
  word* const words = at(row);  // nobody knows of it yet
  std::fill(words, words + row_words_, 0);
  return row;
}

void replica_rows::write(std::uint32_t row,
                         std::uint64_t key,
                         std::uint64_t state,
                         const std::byte* stored) {
  word* const words = at(row);
  const word_ref counter(words[counter_word]);
  const std::uint64_t before = counter.load(std::memory_order_relaxed);
  counter.store(before + 1, std::memory_order_relaxed);
  word_ref(words[key_word]).store(key, std::memory_order_release);
  word_ref(words[state_word]).store(state, std::memory_order_release);
  for (std::size_t i = 0; i < row_words_ - head_words; ++i) {
    word part = 0;
    if (stored != nullptr) std::memcpy(&part, stored + i * sizeof part, sizeof part);
    word_ref(words[head_words + i]).store(part, std::memory_order_release);
  }
  counter.store(before + 2, std::memory_order_release);
}

std::uint32_t replica_rows::row_for(std::uint64_t key) {
  const std::uint64_t hash = mix64(key ^ secret_);
  if (const std::uint32_t row = index_->find(key, hash); row != 0) return row - 1;
  const std::uint32_t row = make_row();
  // Under its new key, and absent, before anybody can find it.
  write(row, key, 0, nullptr);
  index_->insert(key, hash, row);
  ++entries_;
  return row;
}

void replica_rows::rebuild() {
  const std::size_t live = rows();
  const std::size_t slots =
      std::max(std::size_t{1} << few_slots_log2, (live + chunk_keys) * 16 / 5);
  const auto fresh = std::make_shared<index>(static_cast<std::size_t>(std::bit_width(slots - 1)));
  std::vector<std::uint32_t> gone;
  std::vector<bool> unused(rows_made_);
  for (const std::uint32_t row : free_) unused[row] = true;
  std::size_t entries = 0;
  for (std::uint32_t row = 0; row < rows_made_; ++row) {
    word* const words = at(row);
    if ((word_ref(words[state_word]).load(std::memory_order_relaxed) & live_bit) == 0) {
      if (!unused[row]) gone.push_back(row);
      continue;
    }
    const std::uint64_t key = word_ref(words[key_word]).load(std::memory_order_relaxed);
    fresh->insert(key, mix64(key ^ secret_), row);
    ++entries;
  }
  free_.reserve(free_.size() + gone.size());
  // Nothing was changed so far, and nothing fails from here.
  entries_ = entries;
  bytes_.fetch_add(fresh->bytes() - index_->bytes(), std::memory_order_relaxed);
  {
    const std::lock_guard lock(index_mutex_);
    index_ = fresh;
  }
  free_.insert(free_.end(), gone.begin(), gone.end());  // only now: see the class comment
}

void replica_rows::put(const schemas::delta_block& block, std::uint32_t mark) {
  CHECK(block.codec == held_);
  CHECK(block.dim == spec_.dim);
  const std::size_t value_bytes = std::size_t{block.dim} * schemas::value_bytes(held_);
  const bool scaled = held_ == schemas::value_codec::int8;
  const std::size_t head = scaled ? 4 : 0;
  std::vector<std::byte> stored(stored_bytes_);
  const std::uint64_t state = live_bit | std::uint64_t{mark} << 32;
  std::array<std::uint32_t, chunk_keys> rows;
  for (std::size_t begin = 0; begin < block.keys.size(); begin += chunk_keys) {
    const std::size_t size = std::min(chunk_keys, block.keys.size() - begin);
    // Not between rows of a chunk: those that were made and not written yet would be taken for
    // gone.
    if (entries_ + size > index_->entries_max()) rebuild();
    const index& in = *index_;
    for (std::size_t i = 0; i < size; ++i)
      __builtin_prefetch(&in.home(mix64(block.keys[begin + i] ^ secret_)));
    for (std::size_t i = 0; i < size; ++i) {
      rows[i] = row_for(block.keys[begin + i]);
      __builtin_prefetch(at(rows[i]), 1);
    }
    for (std::size_t i = 0; i < size; ++i) {
      const std::size_t from = begin + i;
      if (scaled) std::memcpy(stored.data(), &block.scales[from], sizeof block.scales[from]);
      std::memcpy(stored.data() + head, block.values.data() + from * value_bytes, value_bytes);
      const word was = word_ref(at(rows[i])[state_word]).load(std::memory_order_relaxed);
      if ((was & live_bit) == 0) live_.fetch_add(1, std::memory_order_relaxed);
      write(rows[i], block.keys[from], state, stored.data());
    }
  }
}

void replica_rows::erase(std::uint32_t row) {
  word* const words = at(row);
  if ((word_ref(words[state_word]).load(std::memory_order_relaxed) & live_bit) == 0) return;
  live_.fetch_sub(1, std::memory_order_relaxed);
  write(row, word_ref(words[key_word]).load(std::memory_order_relaxed), 0, nullptr);
}

void replica_rows::remove(std::span<const std::uint64_t> keys) {
  for (const std::uint64_t key : keys) {
    const std::uint32_t row = index_->find(key, mix64(key ^ secret_));
    if (row != 0) erase(row - 1);
  }
}

std::size_t replica_rows::remove_unmarked(std::uint32_t mark, shard_id of, std::uint32_t shards) {
  const std::size_t before = rows();
  for (std::uint32_t row = 0; row < rows_made_; ++row) {
    word* const words = at(row);
    const word state = word_ref(words[state_word]).load(std::memory_order_relaxed);
    if ((state & live_bit) == 0 || state >> 32 == mark) continue;
    const std::uint64_t key = word_ref(words[key_word]).load(std::memory_order_relaxed);
    if (schemas::shard_of(row_key{key}, shards) == of) erase(row);
  }
  return before - rows();
}

// ---- readers ----

replica_rows::found replica_rows::copy(std::uint32_t row,
                                       std::uint64_t key,
                                       std::byte* stored) const {
  word* const words = at(row);
  const word_ref counter(words[counter_word]);
  for (int spins = 0;; ++spins) {
    if (spins >= spins_max) std::this_thread::yield();  // the writer may have no processor
    const std::uint64_t before = counter.load(std::memory_order_acquire);
    if (before % 2 != 0) continue;  // a write takes nanoseconds
    const word whose = word_ref(words[key_word]).load(std::memory_order_acquire);
    const word state = word_ref(words[state_word]).load(std::memory_order_acquire);
    for (std::size_t i = 0; i < row_words_ - head_words; ++i) {
      const word part = word_ref(words[head_words + i]).load(std::memory_order_acquire);
      std::memcpy(stored + i * sizeof part, &part, sizeof part);
    }
    if (counter.load(std::memory_order_relaxed) != before) continue;
    if (whose != key) return found::another;
    return (state & live_bit) != 0 ? found::live : found::absent;
  }
}

replica_rows::found replica_rows::find_again(std::uint64_t key, std::byte* stored) const {
  for (;;) {
    const auto in = current();
    const std::uint32_t row = in->find(key, mix64(key ^ secret_));
    if (row == 0) return found::absent;
    if (const found now = copy(row - 1, key, stored); now != found::another) return now;
  }
}

void replica_rows::make_absent(std::span<const std::uint64_t> keys, std::span<float> values) const {
  kernels::init_rows({.keys = keys,
                      .seed = spec_.init.seed,
                      .scale = spec_.init.scale,
                      .first_order_columns = spec_.optimizer.first_order_columns,
                      .dim = spec_.dim,
                      .values = values,
                      .rows = {}});
  if (spec_.stored == schemas::value_codec::fp32) return;
  const auto format = format_of(spec_.stored);
  std::vector<std::byte> stored(kernels::stored_bytes(format, spec_.dim));
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto row = values.subspan(i * spec_.dim, spec_.dim);
    std::byte* const to = stored.data();
    const std::byte* const from = to;
    kernels::round_weights(
        {.format = format, .values = row, .dim = spec_.dim, .draws = {}, .rows = {&to, 1}});
    kernels::widen_weights({.format = format, .rows = {&from, 1}, .dim = spec_.dim, .values = row});
  }
}

std::size_t replica_rows::read(std::span<const std::uint64_t> keys,
                               std::span<float> values,
                               std::span<std::uint8_t> absent) const {
  const std::size_t dim = spec_.dim;
  CHECK(values.size() == keys.size() * dim);
  CHECK(absent.empty() || absent.size() == keys.size());
  std::ranges::fill(absent, std::uint8_t{0});
  const auto in = current();
  std::vector<std::byte> stored(std::min(keys.size(), chunk_keys) * stored_bytes_);
  std::array<std::uint32_t, chunk_keys> rows;
  std::array<const std::byte*, chunk_keys> live;
  std::size_t without = 0;
  for (std::size_t begin = 0; begin < keys.size(); begin += chunk_keys) {
    const std::size_t size = std::min(chunk_keys, keys.size() - begin);
    for (std::size_t i = 0; i < size; ++i)
      __builtin_prefetch(&in->home(mix64(keys[begin + i] ^ secret_)));
    for (std::size_t i = 0; i < size; ++i) {
      rows[i] = in->find(keys[begin + i], mix64(keys[begin + i] ^ secret_));
      if (rows[i] != 0) __builtin_prefetch(at(rows[i] - 1));
    }
    // Rows next to each other are widened at once.
    std::size_t first = 0;
    const auto widen = [&](std::size_t end) {
      if (end > first) {
        kernels::widen_weights(
            {.format = format_of(held_),
             .rows = std::span(live).subspan(first, end - first),
             .dim = dim,
             .values = values.subspan((begin + first) * dim, (end - first) * dim)});
      }
      first = end + 1;
    };
    for (std::size_t i = 0; i < size; ++i) {
      std::byte* const to = stored.data() + i * stored_bytes_;
      live[i] = to;
      found now = found::absent;
      if (rows[i] != 0) now = copy(rows[i] - 1, keys[begin + i], to);
      if (now == found::another) now = find_again(keys[begin + i], to);
      if (now == found::live) continue;
      ++without;
      if (!absent.empty()) absent[begin + i] = 1;
      widen(i);
      make_absent(keys.subspan(begin + i, 1), values.subspan((begin + i) * dim, dim));
    }
    widen(size);
  }
  return without;
}

}  // namespace headrace::serve
