#include "ps/table/row_step.hpp"

#include "base/check.hpp"
#include "kernels/init_rows/init_rows.hpp"
#include "kernels/runtime/prefetch.hpp"
#include "kernels/sparse_update/sparse_update.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

#include <algorithm>
#include <array>

namespace headrace::ps {
namespace {

using kernels::value_format;

// Rows per call of a kernel, and floats of compact rows widened at a time: 32 KiB, so that weights
// are near when they are rounded back. 4 to 32 KiB are within 10 % of each other
// (row_step.bench.cpp): arithmetic takes the time, not memory.
constexpr std::size_t chunk_rows = 512;
constexpr std::size_t chunk_floats = 8'192;
static_assert(chunk_floats >= 1'024);  // the widest row

value_format format_of(schemas::value_codec codec) { return static_cast<value_format>(codec); }

float* weights_of(row_header* row) { return reinterpret_cast<float*>(payload(row)); }
float* state_of(const row_shape& shape, row_header* row) {
  return reinterpret_cast<float*>(payload(row) + shape.weight_bytes);
}

/// The optimizer of the table as the kernel takes it; no rows and no gradients yet.
kernels::sparse_update_args update_of(const schemas::table_spec& spec) {
  const schemas::optimizer_spec& optimizer = spec.optimizer;
  kernels::sparse_update_args args;
  args.dim = spec.dim;
  args.rule = static_cast<kernels::update_rule>(optimizer.kind);
  args.rate = optimizer.rate;
  args.first_rate = optimizer.first_rate;
  args.first_columns = optimizer.first_order_columns;
  args.l2 = optimizer.l2;
  args.clip = optimizer.gradient_clip;
  args.momentum = optimizer.momentum;
  args.beta1 = optimizer.beta1;
  args.beta2 = optimizer.beta2;
  args.weight_decay = optimizer.weight_decay;
  args.ftrl_l1 = optimizer.ftrl_l1;
  args.ftrl_l2 = optimizer.ftrl_l2;
  args.ftrl_beta = optimizer.ftrl_beta;
  return args;
}

/// Points the update at gradients [first, first + rows) of the block.
void set_gradients(const schemas::row_block& block,
                   std::size_t first,
                   std::size_t rows,
                   kernels::sparse_update_args& args) {
  const std::size_t at = first * args.dim;
  const std::size_t size = rows * args.dim;
  switch (block.codec) {
    case schemas::value_codec::fp32:
      args.gradients = block.fp32_values().subspan(at, size);
      return;
    case schemas::value_codec::int8:
      args.codes = block.int8_codes().subspan(at, size);
      args.scales = block.scales.subspan(first, rows);
      return;
    case schemas::value_codec::fp16:
      args.halves = block.half_words().subspan(at, size);
      return;
    case schemas::value_codec::bf16:
      args.brains = block.half_words().subspan(at, size);
      return;
    case schemas::value_codec::topk:
    case schemas::value_codec::int4:
      CHECK(false);  // decoded before: row_update.cpp
  }
}

/// Weights of up to chunk_floats floats of compact rows on their way through f32.
class compact_chunk {
 public:
  compact_chunk(const schemas::table_spec& spec, const row_shape& shape)
      : spec_(spec), shape_(shape), rows_max_(std::min(chunk_rows, chunk_floats / shape.dim)) {}

  std::size_t rows_max() const { return rows_max_; }
  /// Takes rows from `begin` on: their payloads and states, where their weights will be, and the
  /// draws of their roundings. Asks for the rows of the next chunk.
  void take(std::span<row_header* const> rows, std::size_t begin) {
    size_ = std::min(rows_max_, rows.size() - begin);
    for (std::size_t i = 0; i < size_; ++i) {
      row_header* row = rows[begin + i];
      payloads_[i] = payload(row);
      states_[i] = state_of(shape_, row);
      weights_[i] = values_.data() + i * shape_.dim;
      draws_[i] = kernels::rounding_draw(spec_.init.seed, row->key, row->count);
      const std::size_t later = begin + rows_max_ + i;
      if (later < rows.size()) kernels::prefetch_row(rows[later], row_bytes());
    }
  }
  void widen() {
    kernels::widen_weights({.format = format_of(shape_.stored),
                            .rows = std::span<const std::byte* const>(payloads_.data(), size_),
                            .dim = shape_.dim,
                            .values = values()});
  }
  void round_to_nearest() { round({}); }
  void round_by_draw() { round(std::span(draws_).first(size_)); }

  std::size_t size() const { return size_; }
  std::span<float* const> weights() const { return std::span(weights_).first(size_); }
  std::span<float* const> states() const { return std::span(states_).first(size_); }

 private:
  std::size_t row_bytes() const { return sizeof(row_header) + shape_.payload_bytes; }
  std::span<float> values() { return std::span(values_).first(size_ * shape_.dim); }
  void round(std::span<const std::uint64_t> draws) {
    kernels::round_weights({.format = format_of(shape_.stored),
                            .values = values(),
                            .dim = shape_.dim,
                            .draws = draws,
                            .rows = std::span<std::byte* const>(payloads_.data(), size_)});
  }

  const schemas::table_spec& spec_;
  const row_shape& shape_;
  std::size_t rows_max_;
  std::size_t size_ = 0;
  std::array<std::byte*, chunk_rows> payloads_;
  std::array<float*, chunk_rows> states_;
  std::array<float*, chunk_rows> weights_;
  std::array<std::uint64_t, chunk_rows> draws_;
  std::array<float, chunk_floats> values_;
};

/// Calls see(begin, rows) for up to `most` rows at a time.
template <class Row, class See>
void for_chunks(std::span<Row* const> rows, std::size_t most, const See& see) {
  for (std::size_t begin = 0; begin < rows.size(); begin += most) {
    see(begin, rows.subspan(begin, std::min(most, rows.size() - begin)));
  }
}

void init_weights(const schemas::table_spec& spec,
                  std::span<row_header* const> rows,
                  std::span<float* const> weights) {
  std::array<std::uint64_t, chunk_rows> keys;
  for (std::size_t i = 0; i < rows.size(); ++i) keys[i] = rows[i]->key;
  kernels::init_rows({.keys = std::span(keys).first(rows.size()),
                      .seed = spec.init.seed,
                      .scale = spec.init.scale,
                      .first_order_columns = spec.optimizer.first_order_columns,
                      .dim = spec.dim,
                      .rows = weights});
}

void begin_states(const schemas::table_spec& spec,
                  std::span<float* const> weights,
                  std::span<float* const> states) {
  kernels::begin_states_args args = {.update = update_of(spec),
                                     .accumulator = spec.optimizer.initial_accumulator,
                                     .first_accumulator = spec.optimizer.first_initial_accumulator};
  args.update.rows = weights;
  args.update.states = states;
  kernels::begin_states(args);
}

/// Weights of fp32 rows are used where they lie, their state right behind them.
std::span<float* const> point_at_weights(std::span<row_header* const> rows,
                                         std::array<float*, chunk_rows>& to) {
  std::transform(rows.begin(), rows.end(), to.begin(), weights_of);
  return std::span(to).first(rows.size());
}

}  // namespace

void init_payloads(const schemas::table_spec& spec,
                   const row_shape& shape,
                   std::span<row_header* const> rows) {
  if (shape.stored == schemas::value_codec::fp32) {
    std::array<float*, chunk_rows> weights;
    for_chunks(rows, chunk_rows, [&](std::size_t, std::span<row_header* const> some) {
      const auto at = point_at_weights(some, weights);
      init_weights(spec, some, at);
      begin_states(spec, at, {});
    });
    return;
  }
  compact_chunk chunk(spec, shape);
  for (std::size_t begin = 0; begin < rows.size(); begin += chunk.size()) {
    chunk.take(rows, begin);
    init_weights(spec, rows.subspan(begin, chunk.size()), chunk.weights());
    chunk.round_to_nearest();
    chunk.widen();  // the state begins from the weights as they are kept
    begin_states(spec, chunk.weights(), chunk.states());
  }
}

void step_rows(const schemas::table_spec& spec,
               const row_shape& shape,
               std::span<row_header* const> rows,
               const schemas::row_block& block,
               std::size_t first,
               float rate_share) {
  kernels::sparse_update_args update = update_of(spec);
  update.rate *= rate_share;
  update.first_rate *= rate_share;
  if (shape.stored == schemas::value_codec::fp32) {
    std::array<float*, chunk_rows> weights;
    for_chunks(rows, chunk_rows, [&](std::size_t begin, std::span<row_header* const> some) {
      set_gradients(block, first + begin, some.size(), update);
      update.rows = point_at_weights(some, weights);
      kernels::sparse_update(update);
    });
    return;
  }
  compact_chunk chunk(spec, shape);
  for (std::size_t begin = 0; begin < rows.size(); begin += chunk.size()) {
    chunk.take(rows, begin);
    chunk.widen();
    set_gradients(block, first + begin, chunk.size(), update);
    update.rows = chunk.weights();
    update.states = chunk.states();
    kernels::sparse_update(update);
    chunk.round_by_draw();
  }
}

void widen_weights(const row_shape& shape,
                   std::span<const row_header* const> rows,
                   std::span<float> to) {
  CHECK(to.size() == rows.size() * shape.dim);
  std::array<const std::byte*, chunk_rows> payloads;
  for_chunks(rows, chunk_rows, [&](std::size_t begin, std::span<const row_header* const> some) {
    std::transform(some.begin(), some.end(), payloads.begin(), [](const row_header* row) {
      return payload(row);
    });
    kernels::widen_weights({.format = format_of(shape.stored),
                            .rows = std::span(payloads).first(some.size()),
                            .dim = shape.dim,
                            .values = to.subspan(begin * shape.dim, some.size() * shape.dim)});
  });
}

}  // namespace headrace::ps
