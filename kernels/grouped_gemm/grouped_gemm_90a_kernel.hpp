#pragma once

#include "kernels/grouped_gemm/group_tiles.hpp"
#include "kernels/runtime/hopper.hpp"

#include <cstddef>
#include <cstdint>

/// Persistent, warp-specialised GEMM of sm_90a over groups (grouped_gemm_90a.hpp).
///
/// A block of three warpgroups goes from tile to tile of the result. One warp of the first brings
/// operands, 64 deep, to a ring of stages of shared memory (TMA); the other two warpgroups multiply
/// (wgmma), 64 rows each. While they multiply a stage the next ones arrive, those of the next tile
/// too; a stage is free again when the products after its own have begun.
namespace headrace::kernels {

/// Sizes of a block's work.
template <int column_count, int stage_count>
struct gemm_shape {
  static constexpr int rows = 128;
  static constexpr int columns = column_count;
  static constexpr int depth = 64;
  static constexpr int stages = stage_count;
  static constexpr int threads = 3 * 128;
  static constexpr int multipliers = 2 * 128;  // of these
  static constexpr int sums = columns / 2;     // of a thread
  static constexpr std::uint32_t left_bytes = rows * line_bytes;
  static constexpr std::uint32_t stage_bytes = left_bytes + columns * line_bytes;
  static constexpr int strip_pitch = 64 + 8;  // elements: eight rows lie in different banks
  static constexpr std::uint32_t strip_bytes = 16 * strip_pitch * 2;
  static constexpr std::size_t shared_bytes =
      group_bytes + stages * stage_bytes + 8 * strip_bytes + 2 * stages * 8;
  static_assert(shared_bytes <= 227 * 1024);
};

/// A tensor of operands and how to take tiles of it.
struct grouped_product_view {
  tensor_map left;   // [1, rows, depth], boxes of 128 lines
  tensor_map right;  // weights
  std::uint16_t* out = nullptr;
  const std::uint32_t* offsets = nullptr;
  std::uint32_t groups = 0;
  std::uint32_t depth = 0;
  std::uint32_t columns = 0;
  float* sums = nullptr;  // instead of out
  bool adds = false;
};
struct grouped_sums_view {
  tensor_map left;   // [1, rows, depth], boxes of 64 lines
  tensor_map right;  // [1, rows, columns], likewise
  float* out = nullptr;
  const std::uint32_t* offsets = nullptr;
  std::uint32_t groups = 0;
  std::uint32_t depth = 0;
  std::uint32_t columns = 0;
};

namespace device {

/// A block's shared memory: stages, then a strip of 16 rows a warp, then barriers.
template <class Shape>
struct gemm_memory {
  std::byte* at;

  HEADRACE_DEVICE gemm_memory() : at(align_shared(shared_memory())) {}
  HEADRACE_DEVICE std::byte* left(std::uint32_t stage) const {
    return at + stage * Shape::stage_bytes;
  }
  HEADRACE_DEVICE std::byte* right(std::uint32_t stage) const {
    return left(stage) + Shape::left_bytes;
  }
  /// Of the multiplying warps, numbered from 0.
  HEADRACE_DEVICE std::uint16_t* strip(unsigned number) const {
    return reinterpret_cast<std::uint16_t*>(at + Shape::stages * Shape::stage_bytes +
                                            number * Shape::strip_bytes);
  }
  HEADRACE_DEVICE barrier_word* full(std::uint32_t stage) const {
    return reinterpret_cast<barrier_word*>(strip(8)) + stage;
  }
  HEADRACE_DEVICE barrier_word* empty(std::uint32_t stage) const {
    return full(Shape::stages) + stage;
  }
};

/// One thread brings the operand [extent, 64] from (mn, k) on of a slice. A map of lines along mn
/// has boxes of `extent` lines, one of lines along k boxes of 64.
template <operand_major major, int extent>
HEADRACE_DEVICE void load_operand(std::byte* to,
                                  const tensor_map& map,
                                  std::uint32_t mn,
                                  std::uint32_t k,
                                  std::uint32_t slice,
                                  barrier_word* barrier) {
  if constexpr (major == operand_major::k) {
    load_tile(to, map, static_cast<int>(k), static_cast<int>(mn), static_cast<int>(slice), barrier);
  } else {
    HEADRACE_UNROLL
    for (std::uint32_t i = 0; i < extent / line_elements; ++i) {
      load_tile(to + i * line_elements * line_bytes,
                map,
                static_cast<int>(mn + i * line_elements),
                static_cast<int>(k),
                static_cast<int>(slice),
                barrier);
    }
  }
}

/// Products of groups of rows: what a tile of them reads and writes.
template <class ShapeType, operand_major weights_major>
struct product_job {
  using Shape = ShapeType;
  using View = grouped_product_view;
  static constexpr operand_major left_major = operand_major::k;
  static constexpr operand_major right_major = weights_major;
  static constexpr bool ragged_depth = false;

  HEADRACE_DEVICE static tiles_by_rows count(const View& args) {
    return {Shape::rows, tiles_of(args.columns, Shape::columns)};
  }
  HEADRACE_DEVICE static std::uint32_t depth(const View& args, const group_tile&) {
    return args.depth;
  }
  HEADRACE_DEVICE static std::uint32_t column(const View& args, const group_tile& tile) {
    return tile.nth % tiles_of(args.columns, Shape::columns) * Shape::columns;
  }
  HEADRACE_DEVICE static std::uint32_t row(const View& args, const group_tile& tile) {
    return tile.begin + tile.nth / tiles_of(args.columns, Shape::columns) * Shape::rows;
  }
  HEADRACE_DEVICE static void load(const View& args,
                                   const gemm_memory<Shape>& memory,
                                   std::uint32_t stage,
                                   const group_tile& tile,
                                   std::uint32_t k) {
    load_operand<left_major, Shape::rows>(
        memory.left(stage), args.left, row(args, tile), k, 0, memory.full(stage));
    load_operand<right_major, Shape::columns>(
        memory.right(stage), args.right, column(args, tile), k, tile.group, memory.full(stage));
  }

  /// A thread stores its pairs in f32, or adds them.
  HEADRACE_DEVICE static void store_sums(const View& args,
                                         const group_tile& tile,
                                         const float (&sums)[Shape::sums]) {
    const unsigned me = thread_index() - 128;
    HEADRACE_UNROLL
    for (std::uint32_t i = 0; i < Shape::sums; i += 2) {
      const std::uint32_t line = row(args, tile) + accumulator_row(me, i);
      const std::uint32_t to = column(args, tile) + accumulator_column(me, i);
      if (line >= tile.end || to >= args.columns) continue;
      float* pair = args.sums + std::size_t{line} * args.columns + to;
      pair[0] = args.adds ? pair[0] + sums[i] : sums[i];
      pair[1] = args.adds ? pair[1] + sums[i + 1] : sums[i + 1];
    }
  }

  /// A warp stores its 16 rows, 64 columns at a time, by way of its strip.
  HEADRACE_DEVICE static void store(const View& args,
                                    const gemm_memory<Shape>& memory,
                                    const group_tile& tile,
                                    const float (&sums)[Shape::sums]) {
    if (args.sums != nullptr) return store_sums(args, tile, sums);
    const unsigned number = warp() - 4;
    std::uint16_t* strip = memory.strip(number);
    const std::uint32_t first = row(args, tile) + 16 * number;
    HEADRACE_UNROLL
    for (std::uint32_t part = 0; part < Shape::columns / 64; ++part) {
      sync_warp();
      HEADRACE_UNROLL
      for (std::uint32_t i = 0; i < 32; i += 2) {
        const std::uint32_t at = accumulator_row(lane(), i) * Shape::strip_pitch;
        *reinterpret_cast<std::uint32_t*>(strip + at + accumulator_column(lane(), i)) =
            pack_brains(sums[32 * part + i], sums[32 * part + i + 1]);
      }
      sync_warp();
      HEADRACE_UNROLL
      for (std::uint32_t piece = lane(); piece < 16 * 8; piece += warp_threads) {
        const std::uint32_t line = first + piece / 8;
        const std::uint32_t to = column(args, tile) + 64 * part + piece % 8 * 8;
        if (line >= tile.end || to >= args.columns) continue;
        store_16(args.out + std::size_t{line} * args.columns + to,
                 load_16(strip + piece / 8 * Shape::strip_pitch + piece % 8 * 8));
      }
    }
  }
};

/// Sums over groups of rows.
template <class ShapeType>
struct sums_job {
  using Shape = ShapeType;
  using View = grouped_sums_view;
  static constexpr operand_major left_major = operand_major::mn;
  static constexpr operand_major right_major = operand_major::mn;
  static constexpr bool ragged_depth = true;

  HEADRACE_DEVICE static tiles_by_sums count(const View& args) {
    return {tiles_of(args.depth, Shape::rows) * tiles_of(args.columns, Shape::columns)};
  }
  HEADRACE_DEVICE static std::uint32_t depth(const View&, const group_tile& tile) {
    return tile.end - tile.begin;
  }
  HEADRACE_DEVICE static std::uint32_t column(const View& args, const group_tile& tile) {
    return tile.nth % tiles_of(args.columns, Shape::columns) * Shape::columns;
  }
  HEADRACE_DEVICE static std::uint32_t row(const View& args, const group_tile& tile) {
    return tile.nth / tiles_of(args.columns, Shape::columns) * Shape::rows;
  }
  HEADRACE_DEVICE static void load(const View& args,
                                   const gemm_memory<Shape>& memory,
                                   std::uint32_t stage,
                                   const group_tile& tile,
                                   std::uint32_t k) {
    load_operand<left_major, Shape::rows>(
        memory.left(stage), args.left, row(args, tile), tile.begin + k, 0, memory.full(stage));
    load_operand<right_major, Shape::columns>(
        memory.right(stage), args.right, column(args, tile), tile.begin + k, 0, memory.full(stage));
  }

  HEADRACE_DEVICE static void store(const View& args,
                                    const gemm_memory<Shape>&,
                                    const group_tile& tile,
                                    const float (&sums)[Shape::sums]) {
    const unsigned me = thread_index() - 128;
    float* out = args.out + std::size_t{tile.group} * args.depth * args.columns;
    HEADRACE_UNROLL
    for (std::uint32_t i = 0; i < Shape::sums; i += 2) {
      const std::uint32_t line = row(args, tile) + accumulator_row(me, i);
      const std::uint32_t to = column(args, tile) + accumulator_column(me, i);
      if (line >= args.depth || to >= args.columns) continue;
      float* pair = out + std::size_t{line} * args.columns + to;
      pair[0] += sums[i];
      pair[1] += sums[i + 1];
    }
  }
};

/// The warp that brings operands.
template <class Job>
HEADRACE_DEVICE void bring(const typename Job::View& args,
                           const gemm_memory<typename Job::Shape>& memory) {
  using Shape = typename Job::Shape;
  stage_ring<Shape::stages> ring;
  tile_search search(args.offsets, args.groups, Job::count(args));
  for (std::uint32_t number = block_index().x;; number += grid_blocks().x) {
    const group_tile tile = search.find(number);
    if (tile.none) return;
    const std::uint32_t depth = Job::depth(args, tile);
    for (std::uint32_t k = 0; k < depth; k += Shape::depth) {
      wait_phase(memory.empty(ring.stage), ring.free());
      if (elect_one()) {
        arrive_expecting(memory.full(ring.stage), Shape::stage_bytes);
        Job::load(args, memory, ring.stage, tile, k);
      }
      ring.advance();
    }
  }
}

/// Zeros instead of what follows the first `valid` lines of a stage's boxes: rows of other groups.
/// All that multiply take part.
template <class Shape>
HEADRACE_DEVICE void clear_lines(const gemm_memory<Shape>& memory,
                                 std::uint32_t stage,
                                 std::uint32_t valid) {
  constexpr std::uint32_t boxes = Shape::stage_bytes / (Shape::depth * line_bytes);
  constexpr std::uint32_t pieces = line_bytes / 16;
  const std::uint32_t count = boxes * (Shape::depth - valid) * pieces;
  for (std::uint32_t i = thread_index() - 128; i < count; i += Shape::multipliers) {
    const std::uint32_t line = i / pieces / boxes + valid + i / pieces % boxes * Shape::depth;
    store_16(memory.left(stage) + line * line_bytes + i % pieces * 16, words_4{});
  }
  fence_async();
  sync_named(1, Shape::multipliers);
}

/// A warpgroup begins to multiply a stage: its 64 rows.
template <class Job>
HEADRACE_DEVICE void multiply_stage(float (&sums)[Job::Shape::sums],
                                    const gemm_memory<typename Job::Shape>& memory,
                                    std::uint32_t stage,
                                    bool adds) {
  using Shape = typename Job::Shape;
  constexpr std::uint32_t strip = line_elements * line_bytes;
  const std::uint64_t left =
      operand_descriptor(shared_address(memory.left(stage)) + (warpgroup() - 1) * strip, strip);
  const std::uint64_t right = operand_descriptor(shared_address(memory.right(stage)), strip);
  begin_products(sums);
  HEADRACE_UNROLL
  for (std::uint32_t kk = 0; kk < Shape::depth / 16; ++kk) {
    multiply_tiles<brain, Job::left_major, Job::right_major>(
        sums,
        left + kk * next_depth_bytes(Job::left_major) / 16,
        right + kk * next_depth_bytes(Job::right_major) / 16,
        adds || kk > 0);
  }
  commit_products();
}

/// A warpgroup that multiplies.
template <class Job>
HEADRACE_DEVICE void multiply(const typename Job::View& args,
                              const gemm_memory<typename Job::Shape>& memory) {
  using Shape = typename Job::Shape;
  stage_ring<Shape::stages> ring;
  tile_search search(args.offsets, args.groups, Job::count(args));
  for (std::uint32_t number = block_index().x;; number += grid_blocks().x) {
    const group_tile tile = search.find(number);
    if (tile.none) return;
    float sums[Shape::sums];
    const std::uint32_t depth = Job::depth(args, tile);
    for (std::uint32_t k = 0; k < depth; k += Shape::depth) {
      wait_phase(memory.full(ring.stage), ring.parity);
      if constexpr (Job::ragged_depth) {
        if (depth - k < Shape::depth) clear_lines(memory, ring.stage, depth - k);
      }
      multiply_stage<Job>(sums, memory, ring.stage, k > 0);
      if (k > 0) {
        wait_products<1>(sums);
        if (lane() == 0) arrive(memory.empty(ring.previous()));
      }
      ring.advance();
    }
    wait_products<0>(sums);
    if (lane() == 0) arrive(memory.empty(ring.previous()));
    Job::store(args, memory, tile, sums);
  }
}

/// The whole of a block.
template <class Job>
HEADRACE_DEVICE void run_groups(const typename Job::View& args) {
  using Shape = typename Job::Shape;
  const gemm_memory<Shape> memory;
  if (thread_index() == 0) {
    for (std::uint32_t stage = 0; stage < Shape::stages; ++stage) {
      init_barrier(memory.full(stage), 1);
      init_barrier(memory.empty(stage), Shape::multipliers / warp_threads);
    }
    fence_barriers();
    prefetch_map(args.left);
    prefetch_map(args.right);
  }
  sync_block();
  if (warpgroup() == 0) {  // 65,536 registers: 128 * 40 + 256 * 232
    registers_down<40>();
    if (warp() == 0) bring<Job>(args, memory);
  } else {
    registers_up<232>();
    multiply<Job>(args, memory);
  }
}

}  // namespace device

template <class Shape, operand_major weights_major>
HEADRACE_KERNEL_OF(3 * 128, 1)
void grouped_product_kernel(const HEADRACE_GRID_CONSTANT grouped_product_view args) {
  device::run_groups<device::product_job<Shape, weights_major>>(args);
}

template <class Shape>
HEADRACE_KERNEL_OF(3 * 128, 1)
void grouped_sums_kernel(const HEADRACE_GRID_CONSTANT grouped_sums_view args) {
  device::run_groups<device::sums_job<Shape>>(args);
}

}  // namespace headrace::kernels
