#include "kernels/runtime/emulated_block.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <stdexcept>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define HEADRACE_TELLS_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEADRACE_TELLS_ASAN
#endif
#endif
#ifdef HEADRACE_TELLS_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace headrace::kernels::device {
namespace {

constexpr std::size_t stack_bytes = 256 * 1024;  // ASan's frames are large
constexpr std::size_t shared_alignment = 128;

thread_local emulated_block* running_block = nullptr;
// A launch takes the stacks of the launch before it.
thread_local std::vector<std::unique_ptr<std::byte[]>> spare_stacks;

/// Threads that never ended left their frames marked on their stacks.
void forget_frames([[maybe_unused]] const std::byte* stack) {
#ifdef HEADRACE_TELLS_ASAN
  ASAN_UNPOISON_MEMORY_REGION(stack, stack_bytes);
#endif
}

std::unique_ptr<std::byte[]> take_stack() {
  if (spare_stacks.empty()) return std::unique_ptr<std::byte[]>(new std::byte[stack_bytes]);
  auto taken = std::move(spare_stacks.back());
  spare_stacks.pop_back();
  return taken;
}

/// Bytes of which every float, half and bfloat16 is NaN.
void poison(void* bytes, std::size_t count) { std::memset(bytes, 0xFF, count); }

}  // namespace

struct emulated_block::fiber {
  ucontext_t context = {};
  std::unique_ptr<std::byte[]> stack;  // none: the thread's own
  const void* stack_bottom = nullptr;
  std::size_t stack_size = 0;
  state now = state::ready;
  const void* key = nullptr;   // parked: what notify must name
  const char* what = nullptr;  // and what is said of it
  std::vector<copy_on_its_way> open_copies;
  std::vector<std::vector<copy_on_its_way>> committed;
};

/// What the lanes of a warp gave, this time and the time before: a lane that goes on at once may
/// give again before the slowest has read.
struct emulated_block::warp_state {
  std::array<std::array<std::byte, warp_threads * exchange_bytes>, 2> given;
  std::size_t bytes = 0;
  unsigned turn = 0;
  unsigned arrived = 0;
};

emulated_block::emulated_block(const launch_shape& shape)
    : shape_(shape),
      shared_memory_(new std::byte[shape.shared_bytes + shared_alignment]),
      scheduler_(std::make_unique<fiber>()),
      warps_(shape.threads / warp_threads) {
  CHECK(shape.threads > 0);
  CHECK(shape.threads <= 1'024);
  CHECK(shape.threads % warp_threads == 0);
  void* at = shared_memory_.get();
  std::size_t room = shape.shared_bytes + shared_alignment;
  shared_ = static_cast<std::byte*>(std::align(shared_alignment, shape.shared_bytes, at, room));
  for (unsigned i = 0; i < shape.threads; ++i) {
    fibers_.push_back(std::make_unique<fiber>());
    fibers_.back()->stack = take_stack();
    fibers_.back()->stack_bottom = fibers_.back()->stack.get();
    fibers_.back()->stack_size = stack_bytes;
  }
}

emulated_block::~emulated_block() {
  for (const auto& thread : fibers_) {
    forget_frames(thread->stack.get());
    spare_stacks.push_back(std::move(thread->stack));
  }
}

emulated_block& emulated_block::running() {
  CHECK(running_block != nullptr);
  return *running_block;
}

void emulated_block::enter(unsigned low, unsigned high) {
  auto* self = reinterpret_cast<emulated_block*>(std::uintptr_t{high} << 32 | low);
#ifdef HEADRACE_TELLS_ASAN
  fiber& scheduler = *self->scheduler_;
  __sanitizer_finish_switch_fiber(nullptr, &scheduler.stack_bottom, &scheduler.stack_size);
#endif
  (*self->body_)();
  self->fibers_[self->current_]->now = state::ended;
  ++self->ended_;
#ifdef HEADRACE_TELLS_ASAN
  __sanitizer_start_switch_fiber(nullptr, scheduler.stack_bottom, scheduler.stack_size);
#endif
  setcontext(&self->scheduler_->context);
}

/// Puts the fiber of a thread where it begins.
void emulated_block::begin(fiber& thread) {
  CHECK(getcontext(&thread.context) == 0);
  thread.context.uc_stack.ss_sp = thread.stack.get();
  thread.context.uc_stack.ss_size = stack_bytes;
  thread.context.uc_link = nullptr;
  const auto self = reinterpret_cast<std::uintptr_t>(this);
  makecontext(&thread.context,
              reinterpret_cast<void (*)()>(&emulated_block::enter),
              2,
              static_cast<unsigned>(self),
              static_cast<unsigned>(self >> 32));
#ifdef HEADRACE_TELLS_ASAN
  // Else it would clear its marks of the whole stack at every switch.
  thread.context.uc_stack = {};
  if (thread.now != state::ended) forget_frames(thread.stack.get());
#endif
  thread.now = state::ready;
  thread.open_copies.clear();
  thread.committed.clear();
}

void emulated_block::run(grid_index index, std::uint64_t seed, const std::function<void()>& body) {
  CHECK(running_block == nullptr);
  running_block = this;
  index_ = index;
  fault_.clear();
  at_barrier_ = 0;
  poison(shared_, shape_.shared_bytes);
  body_ = &body;
  ready_.resize(shape_.threads);
  std::iota(ready_.begin(), ready_.end(), 0U);
  for (const auto& thread : fibers_) begin(*thread);
  for (warp_state& warp : warps_) warp.arrived = 0;
  seed_ = seed;
  ended_ = 0;
  units_.reset();
  run_threads();
  running_block = nullptr;
  if (fault_.empty()) fault_ = who_waits();
  if (fault_.empty() && units_ != nullptr) fault_ = units_->left_open();
  if (fault_.empty()) return;
  throw std::logic_error("block (" + std::to_string(index.x) + ", " + std::to_string(index.y) +
                         ", " + std::to_string(index.z) + "): " + fault_);
}

/// Until all have ended, or none can go on. Units work when all threads wait; in two of three
/// blocks in between, too, often or seldom.
void emulated_block::run_threads() {
  constexpr std::uint64_t never = 0;
  constexpr std::uint64_t steps_between[] = {2, 32, never};
  const std::uint64_t steps = steps_between[mix64(seed_ + 1) % 3];
  random_stream draw(mix64(seed_));
  while (fault_.empty() && ended_ < shape_.threads) {
    const bool now = steps != never && units_ != nullptr && draw.next_below(steps) == 0;
    if (units_ != nullptr && (ready_.empty() || now)) {
      if (!units_->advance(draw.next()) && ready_.empty()) return;
      continue;
    }
    if (ready_.empty()) return;
    std::swap(ready_[draw.next_below(ready_.size())], ready_.back());
    const unsigned next = ready_.back();
    ready_.pop_back();
    switch_to(next);
  }
}

void emulated_block::park(const void* key, const char* what) {
  fiber& self = *fibers_[current_];
  self.key = key;
  self.what = what;
  wait(state::parked);
}

void emulated_block::notify(const void* key) {
  for (unsigned i = 0; i < shape_.threads; ++i) {
    if (fibers_[i]->key == key) wake(state::parked, i, 1);
  }
}

void emulated_block::fail(const std::string& what) {
  if (fault_.empty()) fault_ = what;
}

void emulated_block::switch_to(unsigned thread) {
  current_ = thread;
  fiber& to = *fibers_[thread];
#ifdef HEADRACE_TELLS_ASAN
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, to.stack_bottom, to.stack_size);
#endif
  swapcontext(&scheduler_->context, &to.context);
#ifdef HEADRACE_TELLS_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

void emulated_block::wait(state why) {
  fiber& self = *fibers_[current_];
  self.now = why;
#ifdef HEADRACE_TELLS_ASAN
  void* fake_stack = nullptr;
  __sanitizer_start_switch_fiber(&fake_stack, scheduler_->stack_bottom, scheduler_->stack_size);
#endif
  swapcontext(&self.context, &scheduler_->context);
#ifdef HEADRACE_TELLS_ASAN
  __sanitizer_finish_switch_fiber(fake_stack, nullptr, nullptr);
#endif
}

void emulated_block::wake(state from, unsigned first, unsigned count) {
  for (unsigned i = first; i < first + count; ++i) {
    if (fibers_[i]->now != from) continue;
    fibers_[i]->now = state::ready;
    ready_.push_back(i);
  }
}

void emulated_block::wait_for_block(unsigned line) {
  if (at_barrier_ == 0) barrier_line_ = line;
  if (barrier_line_ != line) {
    fault_ = "thread " + std::to_string(current_) + " is at the barrier of line " +
             std::to_string(line) + ", others at that of line " + std::to_string(barrier_line_);
  }
  if (++at_barrier_ == shape_.threads) {
    at_barrier_ = 0;
    wake(state::waits_for_block, 0, shape_.threads);
    fibers_[current_]->now = state::ready;
    ready_.push_back(current_);
    return wait(state::ready);
  }
  wait(state::waits_for_block);
}

const void* emulated_block::exchange(const void* mine, std::size_t bytes) {
  const unsigned number = current_ / warp_threads;
  warp_state& warp = warps_[number];
  if (warp.arrived == 0) {
    warp.bytes = bytes;
    warp.turn ^= 1;
  }
  if (warp.bytes != bytes) {
    fault_ = "the lanes of warp " + std::to_string(number) + " are in different calls";
  }
  std::byte* given = warp.given[warp.turn].data();
  std::memcpy(given + current_ % warp_threads * bytes, mine, bytes);
  if (++warp.arrived == warp_threads) {
    warp.arrived = 0;
    wake(state::waits_for_warp, number * warp_threads, warp_threads);
  } else {
    wait(state::waits_for_warp);
  }
  return given;
}

void emulated_block::begin_copy(const copy_on_its_way& copy) {
  poison(copy.to, 16);
  fibers_[current_]->open_copies.push_back(copy);
}

void emulated_block::commit_copies() {
  fiber& self = *fibers_[current_];
  self.committed.push_back(std::move(self.open_copies));
  self.open_copies.clear();
}

void emulated_block::wait_copies(std::size_t open) {
  auto& groups = fibers_[current_]->committed;
  while (groups.size() > open) {
    for (const copy_on_its_way& copy : groups.front()) {
      if (copy.from == nullptr) {
        std::memset(copy.to, 0, 16);
      } else {
        std::memcpy(copy.to, copy.from, 16);
      }
    }
    groups.erase(groups.begin());
  }
}

std::string emulated_block::who_waits() const {
  std::string text;
  for (unsigned i = 0; i < shape_.threads; ++i) {
    const state now = fibers_[i]->now;
    if (now == state::ended) continue;
    text += (text.empty() ? "threads wait for others that ended: " : ", ") + std::to_string(i) +
            (now == state::waits_for_block ? " (block, line " + std::to_string(barrier_line_) + ")"
             : now == state::parked        ? " (" + std::string(fibers_[i]->what) + ")"
                                           : " (warp)");
  }
  return text;
}

}  // namespace headrace::kernels::device
