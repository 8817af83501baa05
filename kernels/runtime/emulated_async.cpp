#include "kernels/runtime/emulated_async.hpp"

#include "kernels/runtime/half.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace headrace::kernels::device {
namespace {

constexpr unsigned group_threads = 128;
constexpr std::uint32_t window_end = 1 << 18;  // of shared addresses that a descriptor can hold

/// A float whose bits are those of poisoned memory: NaN.
constexpr std::uint32_t poison_bits = 0xFFFFFFFF;
bool is_poison(float value) { return std::bit_cast<std::uint32_t>(value) == poison_bits; }

}  // namespace

emulated_async& emulated_async::running() {
  emulated_block& block = emulated_block::running();
  if (block.units() == nullptr) block.adopt(std::make_unique<emulated_async>(block));
  return static_cast<emulated_async&>(*block.units());
}

emulated_async::emulated_async(emulated_block& block)
    : block_(block),
      draw_(mix64(~block.seed())),
      begins_at_(static_cast<std::uint32_t>(128 * (1 + draw_.next_below(8)))),
      seen_by_units_(block.shape().shared_bytes, std::byte{0xFF}),
      warpgroups_((block.shape().threads + group_threads - 1) / group_threads),
      threads_(block.shape().threads) {}

std::uint32_t emulated_async::address_of(const void* shared) const {
  const auto at = static_cast<const std::byte*>(shared) - block_.shared_memory();
  return begins_at_ + static_cast<std::uint32_t>(at);
}

bool emulated_async::inside(std::uint32_t address, std::size_t bytes, const char* use) {
  const bool within = address >= begins_at_ && address < window_end &&
                      address - begins_at_ + bytes <= seen_by_units_.size();
  if (!within) {
    block_.fail(std::string(use) + " outside of shared memory, at " + std::to_string(address));
  }
  return within;
}

bool emulated_async::advance(std::uint64_t draw) {
  std::vector<open_product*> next;
  for (warpgroup_state& group : warpgroups_) {
    const auto at = std::find_if(
        group.products.begin(), group.products.end(), [](const auto& of) { return !of.executed; });
    if (at != group.products.end() && at->arrived == group_threads) next.push_back(&*at);
  }
  if (boxes_.empty() && next.empty()) return false;
  const std::size_t which = draw % (boxes_.size() + next.size());
  if (which >= boxes_.size()) {
    execute(*next[which - boxes_.size()]);
    for (const warpgroup_state& group : warpgroups_) block_.notify(&group);
    return true;
  }
  const box arriving = boxes_[which];
  boxes_.erase(boxes_.begin() + static_cast<std::ptrdiff_t>(which));
  deliver(arriving);
  return true;
}

std::string emulated_async::left_open() const {
  for (const auto& [at, of] : barriers_) {
    if (of.bytes != 0)
      return "ended while a tile was on its way, or more or less was than expected";
  }
  for (const thread_state& thread : threads_) {
    if (thread.taken != thread.issued) return "ended before its products were waited for";
  }
  for (const named_barrier& named : named_) {
    if (named.arrived != 0) return "ended while threads had arrived at a named barrier";
  }
  return "";
}

// Barriers.

void emulated_async::init_barrier(void* at, unsigned arrivals) {
  if (!inside(address_of(at), 8, "barrier")) return;
  if (address_of(at) % 8 != 0) block_.fail("a barrier is not aligned to 8 bytes");
  std::memset(at, 0xFF, 8);
  if (!barriers_.insert({at, {arrivals, arrivals, 0, 0, false}}).second) {
    block_.fail("a barrier was begun twice");
  }
}

void emulated_async::fence_barriers() {
  for (auto& [at, of] : barriers_) of.known = true;
  fence_async();
}

emulated_async::barrier* emulated_async::barrier_at(void* at, const char* use) {
  const auto found = barriers_.find(at);
  if (found != barriers_.end() && found->second.known) return &found->second;
  block_.fail(std::string(use) + (found == barriers_.end()
                                      ? ": no barrier was begun there"
                                      : ": the barrier was not made known by fence_barriers"));
  return nullptr;
}

void emulated_async::arrive(void* at, unsigned bytes_expected) {
  barrier* of = barrier_at(at, "arrive");
  if (of == nullptr) return;
  of->bytes += bytes_expected;
  if (of->missing == 0) return block_.fail("more arrivals at a barrier than it has");
  --of->missing;
  end_phase_if_complete(at, *of);
}

void emulated_async::end_phase_if_complete(void* at, barrier& of) {
  if (of.missing != 0 || of.bytes != 0) return;
  of.missing = of.arrivals;
  of.parity ^= 1;
  block_.notify(at);
}

void emulated_async::wait_phase(void* at, unsigned parity) {
  barrier* of = barrier_at(at, "wait_phase");
  if (of == nullptr) return block_.park(this, "at fault");
  while (of->parity == parity) block_.park(at, "barrier of shared memory");
}

void emulated_async::meet_named(unsigned id, unsigned threads, bool waits) {
  if (id == 0 || id >= named_.size() || threads % warp_threads != 0) {
    return block_.fail("named barrier " + std::to_string(id) + " of " + std::to_string(threads));
  }
  named_barrier& at = named_[id];
  if (at.arrived == 0) at.threads = threads;
  if (at.threads != threads) return block_.fail("threads disagree on a named barrier's size");
  const std::uint64_t mine = at.times;
  if (++at.arrived == threads) {
    at.arrived = 0;
    ++at.times;
    block_.notify(&at);
  }
  while (waits && at.times == mine) block_.park(&at, "named barrier");
}

// The copy engine.

void emulated_async::fence_async() {
  std::memcpy(seen_by_units_.data(), block_.shared_memory(), seen_by_units_.size());
}

void emulated_async::write(std::uint32_t address, const void* bytes, std::size_t count) {
  std::memcpy(block_.shared_memory() + (address - begins_at_), bytes, count);
  std::memcpy(seen_by_units_.data() + (address - begins_at_), bytes, count);
}

void emulated_async::load_tile(
    void* to, const tensor_tiles& tiles, int column, int line, int slice, void* at) {
  if (const char* fault = fault_in(tiles)) return block_.fail(std::string("tensor map: ") + fault);
  if (barrier_at(at, "load_tile") == nullptr) return;
  const std::uint32_t address = address_of(to);
  const std::size_t bytes = std::size_t{tiles.box_lines} * line_bytes;
  if (!inside(address, bytes, "a tile")) return;
  if (address % group_bytes != 0) return block_.fail("a tile is not at a multiple of 1,024");
  const std::vector<std::byte> nothing(bytes, std::byte{0xFF});
  write(address, nothing.data(), bytes);
  boxes_.push_back({address, tiles, column, line, slice, at});
}

void emulated_async::deliver(const box& arriving) {
  const tensor_tiles& of = arriving.tiles;
  const auto* base = static_cast<const std::byte*>(of.base);
  const auto within = [](std::int64_t i, std::uint64_t n) {
    return i >= 0 && static_cast<std::uint64_t>(i) < n;
  };
  for (std::uint32_t l = 0; l < of.box_lines; ++l) {
    const std::int64_t line = arriving.line + l;
    for (std::uint32_t c = 0; c < line_elements; ++c) {
      const std::int64_t column = arriving.column + c;
      std::uint16_t bits = 0;
      if (within(column, of.columns) && within(line, of.lines) &&
          within(arriving.slice, of.slices)) {
        const auto slice = static_cast<std::uint64_t>(arriving.slice) * of.slice_pitch;
        const auto row = static_cast<std::uint64_t>(line) * of.line_pitch;
        std::memcpy(&bits, base + slice + row + column * 2, sizeof(bits));
      }
      write(swizzled_128(arriving.to + l * line_bytes + c * 2), &bits, sizeof(bits));
    }
  }
  barrier& at = barriers_.at(arriving.at);
  at.bytes -= std::int64_t{of.box_lines} * line_bytes;
  end_phase_if_complete(arriving.at, at);
}

// The matrix units.

void emulated_async::begin_products() { threads_[block_.thread_index()].begun = true; }

emulated_async::accumulators& emulated_async::poisoned(thread_state& self, float* c, int count) {
  for (accumulators& of : self.poisoned) {
    if (of.c == c) return of;
  }
  self.poisoned.push_back({c, 0, std::vector<float>(c, c + count)});
  std::memset(c, 0xFF, static_cast<std::size_t>(count) * sizeof(float));
  return self.poisoned.back();
}

void emulated_async::multiply(const async_product& product, const std::uint32_t* left, float* c) {
  const unsigned me = block_.thread_index();
  thread_state& self = threads_[me];
  warpgroup_state& group = warpgroups_[me / group_threads];
  if (!self.begun) return block_.fail("a product without begin_products before its group");
  const std::size_t at = self.issued++ - group.dropped;
  if (at == group.products.size()) group.products.push_back({.what = product, .sums = {}});
  open_product& open = group.products[at];
  if (open.what != product) return block_.fail("a warpgroup's threads are in different products");
  if (left != nullptr) std::copy_n(left, 4, open.left[me % group_threads].begin());
  ++open.arrived;
  ++poisoned(self, c, product.columns / 2).open;
  self.into.push_back(c);
}

void emulated_async::commit_products() {
  thread_state& self = threads_[block_.thread_index()];
  self.begun = false;
  self.groups.push_back(self.issued);
}

void emulated_async::wait_products(std::size_t open) {
  const unsigned me = block_.thread_index();
  thread_state& self = threads_[me];
  warpgroup_state& group = warpgroups_[me / group_threads];
  for (; self.groups.size() > open; self.groups.pop_front()) {
    while (self.taken < self.groups.front()) {
      while (!group.products[self.taken - group.dropped].executed) {
        block_.park(&group, "products of its warpgroup");
      }
      open_product& product = group.products[self.taken - group.dropped];
      take(self, product);
      if (++product.taken < group_threads) continue;
      group.products.pop_front();
      ++group.dropped;
    }
  }
}

/// Adds this thread's part of a product; gives accumulators back after their last one.
void emulated_async::take(thread_state& self, const open_product& product) {
  const auto columns = static_cast<std::uint32_t>(product.what.columns);
  const std::uint32_t thread = block_.thread_index() % group_threads;
  float* c = self.into.front();
  accumulators& to = poisoned(self, c, product.what.columns / 2);
  for (std::uint32_t i = 0; i < columns / 2; ++i) {
    const float sum =
        product.sums[accumulator_row(thread, i) * columns + accumulator_column(thread, i)];
    to.values[i] = product.what.adds ? to.values[i] + sum : sum;
  }
  self.into.pop_front();
  ++self.taken;
  if (--to.open != 0) return;
  if (!std::all_of(c, c + columns / 2, is_poison)) {
    block_.fail("accumulators changed before their products were waited for");
  }
  std::copy(to.values.begin(), to.values.end(), c);
  to = std::move(self.poisoned.back());
  self.poisoned.pop_back();
}

float emulated_async::element(std::uint32_t address, bool is_half) {
  std::uint16_t bits = 0;
  if (!inside(address, sizeof(bits), "an operand")) return 0;
  std::memcpy(&bits, seen_by_units_.data() + (address - begins_at_), sizeof(bits));
  return is_half ? half_to_float(bits) : brain_to_float(bits);
}

void emulated_async::execute(open_product& product) {
  constexpr unsigned rows = 64;
  constexpr unsigned depth = 16;
  const async_product& what = product.what;
  const auto columns = static_cast<unsigned>(what.columns);
  const operand_place left = place_of(what.left);
  const operand_place right = place_of(what.right);
  if (right.swizzle != 1 || right.base != 0 ||
      (!what.in_registers && (left.swizzle != 1 || left.base != 0))) {
    return block_.fail("a descriptor without the swizzle of 128 bytes, or with a base offset");
  }
  std::vector<float> a(rows * depth);
  std::vector<float> b(columns * depth);
  for (unsigned k = 0; k < depth; ++k) {
    for (unsigned row = 0; row < rows; ++row) {
      if (!what.in_registers) {
        a[row * depth + k] =
            element(kernels::address_of(left, what.left_major, row, k), what.is_half);
        continue;
      }
      const unsigned thread = row / 16 * 32 + row % 8 * 4 + k % 8 / 2;
      const std::uint32_t word = product.left[thread][row % 16 / 8 + k / 8 * 2];
      const auto bits = static_cast<std::uint16_t>(word >> k % 2 * 16);
      a[row * depth + k] = what.is_half ? half_to_float(bits) : brain_to_float(bits);
    }
    for (unsigned column = 0; column < columns; ++column) {
      b[column * depth + k] =
          element(kernels::address_of(right, what.right_major, column, k), what.is_half);
    }
  }
  product.sums.resize(std::size_t{rows} * columns);
  for (unsigned row = 0; row < rows; ++row) {
    for (unsigned column = 0; column < columns; ++column) {
      double sum = 0;  // exact products, summed wider than f32
      for (unsigned k = 0; k < depth; ++k) {
        sum += static_cast<double>(a[row * depth + k]) * static_cast<double>(b[column * depth + k]);
      }
      product.sums[std::size_t{row} * columns + column] = static_cast<float>(sum);
    }
  }
  product.executed = true;
}

}  // namespace headrace::kernels::device
