#include "ps/table/table.hpp"

#include "base/check.hpp"
#include "kernels/init_rows/init_rows.hpp"
#include "ps/table/row_index.hpp"
#include "ps/table/row_slab.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace headrace::ps {
namespace {

bool has_accumulators(const schemas::table_spec& spec) {
  return spec.optimizer.kind == schemas::optimizer_kind::adagrad;
}

std::size_t floats_of(const schemas::table_spec& spec) {
  return has_accumulators(spec) ? std::size_t{2} * spec.dim : spec.dim;
}

}  // namespace

struct table::state {
  explicit state(schemas::table_spec of)
      : spec(std::move(of)), slab(floats_of(spec)), index(slab, process_secret()) {}

  row_header* add(std::uint64_t key) {
    const std::uint32_t row = slab.make(key);
    index.insert(row);
    return slab.at(row);
  }
  /// Weights and optimizer state that the rows made last begin with.
  void fill_made();

  schemas::table_spec spec;
  row_slab slab;
  row_index index;                       // reads keys in `slab`
  std::vector<std::uint64_t> made_keys;  // scratch of find_or_make
  std::vector<float*> made;
};

void table::state::fill_made() {
  const schemas::optimizer_spec& optimizer = spec.optimizer;
  const std::size_t first = std::min<std::size_t>(optimizer.first_order_columns, spec.dim);
  kernels::init_rows({.keys = made_keys,
                      .seed = spec.init.seed,
                      .scale = spec.init.scale,
                      .first_order_columns = first,
                      .dim = spec.dim,
                      .values = {},
                      .rows = made});
  if (!has_accumulators(spec)) return;
  for (float* row : made) {
    std::fill_n(row + spec.dim, first, optimizer.first_initial_accumulator);
    std::fill_n(row + spec.dim + first, spec.dim - first, optimizer.initial_accumulator);
  }
}

table::table(const schemas::table_spec& spec) : state_(std::make_unique<state>(spec)) {}
table::~table() = default;
table::table(table&&) noexcept = default;
table& table::operator=(table&&) noexcept = default;

const schemas::table_spec& table::spec() const { return state_->spec; }
std::size_t table::floats_per_row() const { return floats_of(state_->spec); }

void table::find(std::span<const std::uint64_t> keys, std::span<row_header*> rows) const {
  state_->index.find(keys, rows);
}

row_header* table::find(std::uint64_t key) const { return state_->index.find(key); }

void table::find_or_make(std::span<const std::uint64_t> keys, std::span<row_header*> rows) {
  state_->index.advance(keys.size() / 4);  // so that a growth ends even where nothing is inserted
  state_->index.find(keys, rows);
  state_->made.clear();
  state_->made_keys.clear();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (rows[i] != nullptr) continue;
    rows[i] = state_->add(keys[i]);
    state_->made_keys.push_back(keys[i]);
    state_->made.push_back(floats(rows[i]));
  }
  if (!state_->made.empty()) state_->fill_made();
}

row_header* table::make(std::uint64_t key) {
  CHECK(find(key) == nullptr);
  return state_->add(key);
}

std::size_t table::rows() const { return state_->slab.rows(); }
std::size_t table::bytes() const { return state_->slab.bytes() + state_->index.bytes(); }

void table::visit(const std::function<void(row_header&)>& see) {
  for (std::uint32_t row = 0; row < state_->slab.rows(); ++row) see(*state_->slab.at(row));
}

void table::visit(const std::function<void(const row_header&)>& see) const {
  for (std::uint32_t row = 0; row < state_->slab.rows(); ++row) see(*state_->slab.at(row));
}

}  // namespace headrace::ps
