#pragma once

#include "kernels/runtime/launch_shape.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace headrace::kernels::device {

constexpr std::size_t exchange_bytes = 32;  // the most a lane gives in one call

/// One 16-byte copy on its way; `from` null: zeros arrive.
struct copy_on_its_way {
  void* to = nullptr;
  const void* from = nullptr;
};

/// What works beside the threads of a block (emulated_async.hpp).
class block_units {
 public:
  virtual ~block_units() = default;
  /// Does one of the things that are open, by a draw. Returns false when none is.
  virtual bool advance(std::uint64_t draw) = 0;
  /// What is wrong with leaving things as they are when all threads have ended; empty: nothing.
  virtual std::string left_open() const = 0;
};

/// A block of threads of a kernel, each a fiber of the thread that runs it (ucontext).
///
/// Threads run one at a time, each until it waits; who goes on next is drawn from `seed`, so what
/// depends on an order that nothing guarantees differs between seeds. Stricter than a GPU where a
/// GPU would only be wrong now and then: shared memory begins as NaN; 16 bytes being copied are NaN
/// until they are waited for; threads must meet a barrier in the same line; whoever ends while
/// others of its warp or block wait for it is a fault. Faults are thrown by run (std::logic_error,
/// with the block and who waits where). Not reentrant; one block at a time in a thread.
class emulated_block {
 public:
  explicit emulated_block(const launch_shape& shape);
  ~emulated_block();
  emulated_block(const emulated_block&) = delete;
  emulated_block& operator=(const emulated_block&) = delete;

  /// Runs `body` once for each thread of block `index`.
  void run(grid_index index, std::uint64_t seed, const std::function<void()>& body);

  /// The block whose thread is running: what the words of device.hpp speak to.
  static emulated_block& running();

  const launch_shape& shape() const { return shape_; }
  grid_index block_index() const { return index_; }
  unsigned thread_index() const { return current_; }
  std::byte* shared_memory() { return shared_; }

  void wait_for_block(unsigned line);
  /// Gives `bytes` of `mine`, waits for the warp; what the lanes gave, one after another.
  const void* exchange(const void* mine, std::size_t bytes);
  void begin_copy(const copy_on_its_way& copy);
  void commit_copies();
  void wait_copies(std::size_t open);

  /// Waits until notify(key); `what` (a literal) is said of whoever waits for ever.
  void park(const void* key, const char* what);
  void notify(const void* key);
  /// The block is at fault: run throws once this thread waits or ends.
  void fail(const std::string& what);
  std::uint64_t seed() const { return seed_; }
  /// Set once in a run, by the first that needs them; gone after it.
  block_units* units() { return units_.get(); }
  void adopt(std::unique_ptr<block_units> units) { units_ = std::move(units); }

 private:
  struct fiber;
  struct warp_state;
  enum class state : std::uint8_t { ready, waits_for_block, waits_for_warp, parked, ended };

  void begin(fiber& thread);
  void run_threads();
  void switch_to(unsigned thread);
  void wait(state why);
  void release_block();
  void wake(state from, unsigned first, unsigned count);
  std::string who_waits() const;
  static void enter(unsigned low, unsigned high);

  launch_shape shape_;
  grid_index index_;
  std::unique_ptr<std::byte[]> shared_memory_;
  std::byte* shared_ = nullptr;
  std::vector<std::unique_ptr<fiber>> fibers_;
  std::unique_ptr<fiber> scheduler_;
  std::vector<warp_state> warps_;
  std::vector<unsigned> ready_;
  const std::function<void()>* body_ = nullptr;
  unsigned current_ = 0;
  unsigned ended_ = 0;
  unsigned at_barrier_ = 0;
  unsigned barrier_line_ = 0;
  std::string fault_;
  std::uint64_t seed_ = 0;
  std::unique_ptr<block_units> units_;
};

}  // namespace headrace::kernels::device
