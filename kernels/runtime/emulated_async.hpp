#pragma once

#include "base/random.hpp"
#include "kernels/runtime/emulated_block.hpp"
#include "kernels/runtime/tensor_map.hpp"
#include "kernels/runtime/tile_layout.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace headrace::kernels::device {

/// A product of a warpgroup, [64, columns] = left [64, 16] right [16, columns].
struct async_product {
  int columns = 0;
  bool is_half = false;       // else bfloat16
  bool in_registers = false;  // the left operand
  operand_major left_major = operand_major::k;
  operand_major right_major = operand_major::k;
  std::uint64_t left = 0;
  std::uint64_t right = 0;
  bool adds = false;
  bool operator==(const async_product&) const = default;
};

/// The barriers, the copy engine and the matrix units of a block on sm_90a, emulated: hopper.hpp's
/// words speak to it.
///
/// When a box arrives and when a product reads its operands is drawn from the block's seed: at any
/// time after it was asked for, boxes in any order, a warpgroup's products in theirs. Until then a
/// box's memory is NaN and so are accumulators until they are waited for; accumulators that changed
/// meanwhile are a fault. The units see shared memory as it was at the last fence_async() of any
/// thread (a fence that is missing everywhere shows, one missing in some threads may not).
/// Descriptors and tensor maps are read bit by bit; shared memory begins at an address that is a
/// multiple of 128 and, by seed, of no more. Faults besides: a barrier that was not begun, or not
/// made known by fence_barriers(), or gets more arrivals than it has; memory outside the block's;
/// threads of a warpgroup in different products; a group of products without begin_products; named
/// barriers of different sizes; a block that ends while something is open.
class emulated_async : public block_units {
 public:
  /// Of the block that is running.
  static emulated_async& running();

  explicit emulated_async(emulated_block& block);
  bool advance(std::uint64_t draw) override;
  std::string left_open() const override;

  std::uint32_t address_of(const void* shared) const;
  unsigned draw_below(unsigned n) { return static_cast<unsigned>(draw_.next_below(n)); }

  void init_barrier(void* at, unsigned arrivals);
  void fence_barriers();
  void arrive(void* at, unsigned bytes_expected);
  void wait_phase(void* at, unsigned parity);
  void load_tile(void* to, const tensor_tiles& tiles, int column, int line, int slice, void* at);
  void fence_async();

  void begin_products();
  void multiply(const async_product& product, const std::uint32_t* left, float* c);
  void commit_products();
  void wait_products(std::size_t open);

  /// `waits`: else only arrives.
  void meet_named(unsigned id, unsigned threads, bool waits);

 private:
  struct barrier {
    unsigned arrivals = 0;   // of each phase
    unsigned missing = 0;    // of this one
    std::int64_t bytes = 0;  // expected less arrived
    unsigned parity = 0;     // of this phase
    bool known = false;      // to the copy engine
  };
  struct box {
    std::uint32_t to = 0;  // shared address
    tensor_tiles tiles;
    std::int64_t column = 0;
    std::int64_t line = 0;
    std::int64_t slice = 0;
    void* at = nullptr;
  };
  struct open_product {
    async_product what;
    std::array<std::array<std::uint32_t, 4>, 128> left = {};  // of each thread
    unsigned arrived = 0;
    unsigned taken = 0;
    bool executed = false;
    std::vector<float> sums;
  };
  struct warpgroup_state {
    std::deque<open_product> products;
    std::size_t dropped = 0;  // products before these
  };
  struct accumulators {
    float* c = nullptr;
    unsigned open = 0;
    std::vector<float> values;
  };
  struct thread_state {
    bool begun = false;
    std::size_t issued = 0;
    std::size_t taken = 0;
    std::size_t committed = 0;       // of those issued
    std::deque<std::size_t> groups;  // where each ends
    std::deque<float*> into;         // of those not taken
    std::vector<accumulators> poisoned;
  };
  struct named_barrier {
    unsigned threads = 0;
    unsigned arrived = 0;
    std::uint64_t times = 0;
  };

  barrier* barrier_at(void* at, const char* use);
  void end_phase_if_complete(void* at, barrier& of);
  void deliver(const box& arriving);
  void write(std::uint32_t address, const void* bytes, std::size_t count);
  void execute(open_product& product);
  float element(std::uint32_t address, bool is_half);
  accumulators& poisoned(thread_state& self, float* c, int count);
  void take(thread_state& self, const open_product& product);
  bool inside(std::uint32_t address, std::size_t bytes, const char* use);

  emulated_block& block_;
  random_stream draw_;
  std::uint32_t begins_at_;               // shared address of the block's first byte
  std::vector<std::byte> seen_by_units_;  // shared memory since the last fence
  std::map<void*, barrier> barriers_;
  std::vector<box> boxes_;
  std::vector<warpgroup_state> warpgroups_;
  std::vector<thread_state> threads_;
  std::array<named_barrier, 16> named_ = {};
};

}  // namespace headrace::kernels::device
