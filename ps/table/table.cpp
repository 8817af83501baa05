#include "ps/table/table.hpp"

#include "base/check.hpp"
#include "base/process_secret.hpp"
#include "ps/table/eviction.hpp"
#include "ps/table/row_index.hpp"
#include "ps/table/row_slab.hpp"
#include "ps/table/row_step.hpp"

#include <algorithm>
#include <utility>

namespace headrace::ps {
namespace {

// Slots are 8 bytes and between 5/16 and 5/8 of them are used.
constexpr std::size_t index_bytes_per_row = 8 * 16 / 5;
// Rows that an eviction moves of an index that is growing: it may drop none before that is done.
constexpr std::size_t moved_per_evict = 4'096;

}  // namespace

struct table::state {
  explicit state(schemas::table_spec of)
      : spec(std::move(of)),
        shape(spec),
        slab(shape.payload_bytes),
        index(slab, process_secret()),
        rows_max(spec.memory_bytes / (slab.stride() + index_bytes_per_row)),
        leaving(slab, rows_max) {}

  row_header* add(std::uint64_t key) {
    // A growing index moves rows by number: one that is given out again would be moved twice.
    const std::uint32_t row = slab.make(key, !index.growing());
    index.insert(row);
    return slab.at(row);
  }
  std::uint32_t next_row(std::uint32_t& at) const {
    if (at >= slab.rows()) at = 0;
    return at++;
  }

  schemas::table_spec spec;
  row_shape shape;
  row_slab slab;
  row_index index;       // reads keys in `slab`
  std::size_t rows_max;  // 0 = no budget
  eviction leaving;
  std::vector<row_header*> made;  // scratch of find_or_make
  std::vector<row_header*> dirty;
  bool complete = true;
  std::size_t tombstones = 0;
  std::uint32_t broom = 0;  // of the sweep
};

table::table(const schemas::table_spec& spec) : state_(std::make_unique<state>(spec)) {}
table::~table() = default;
table::table(table&&) noexcept = default;
table& table::operator=(table&&) noexcept = default;

const schemas::table_spec& table::spec() const { return state_->spec; }
const row_shape& table::shape() const { return state_->shape; }

void table::find(std::span<const std::uint64_t> keys, std::span<row_header*> rows) const {
  state_->index.find(keys, rows);
}

row_header* table::find(std::uint64_t key) const { return state_->index.find(key); }

void table::find_or_make(std::span<const std::uint64_t> keys, std::span<row_header*> rows) {
  state_->index.advance(keys.size() / 4);  // so that a growth ends even where nothing is inserted
  state_->index.find(keys, rows);
  state_->made.clear();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (rows[i] != nullptr) continue;
    rows[i] = state_->add(keys[i]);
    state_->made.push_back(rows[i]);
  }
  if (state_->made.empty()) return;
  init_payloads(state_->spec, state_->shape, state_->made);
  for (row_header* row : state_->made) state_->leaving.arrived(*row);
}

row_header* table::make(std::uint64_t key) {
  CHECK(find(key) == nullptr);
  state_->index.advance(1);
  return state_->add(key);
}

void table::arrived(row_header& row) { state_->leaving.arrived(row); }

void table::used(std::size_t rows, std::uint64_t stamp_ms) { state_->leaving.used(rows, stamp_ms); }

void table::drop(row_header* row) {
  CHECK((row->flags & (row_flag::dirty | row_flag::writing | row_flag::pinned)) == 0);
  if ((row->flags & row_flag::removed) != 0) --state_->tombstones;
  state_->slab.free(state_->index.erase(row->key));
}

void table::set_removed(row_header& row, bool removed) {
  if (((row.flags & row_flag::removed) != 0) == removed) return;
  row.flags ^= row_flag::removed;
  removed ? ++state_->tombstones : --state_->tombstones;
}

std::size_t table::standing() const { return rows() - state_->tombstones; }

void table::mark_dirty(row_header& row) {
  if ((row.flags & row_flag::dirty) != 0) return;
  row.flags |= row_flag::dirty;
  state_->dirty.push_back(&row);
}

std::vector<row_header*> table::take_dirty() { return std::exchange(state_->dirty, {}); }
std::size_t table::dirty() const { return state_->dirty.size(); }

bool table::complete() const { return state_->complete; }
void table::set_complete(bool complete) { state_->complete = complete; }
bool table::growing() const { return state_->index.growing(); }

std::size_t table::evict(lsn settled, std::size_t scan_max) {
  if (!over_budget()) return 0;
  if (growing()) {
    state_->index.advance(moved_per_evict);
    return 0;
  }
  std::size_t dropped = 0;
  std::size_t steps = std::min<std::size_t>(scan_max, 4 * std::size_t{state_->slab.rows()});
  while (over_budget()) {
    row_header* const row = state_->leaving.next(settled, steps);
    if (row == nullptr) break;
    if ((row->flags & row_flag::removed) == 0) ++dropped;  // a tombstone is in no store
    drop(row);
    state_->complete = false;
  }
  return dropped;
}

void table::sweep(std::size_t scan_max, const std::function<void(row_header&)>& see) {
  const std::size_t scan = std::min<std::size_t>(scan_max, state_->slab.rows());
  for (std::size_t i = 0; i < scan; ++i) {
    const std::uint32_t row = state_->next_row(state_->broom);
    if (!state_->slab.is_free(row)) see(*state_->slab.at(row));
  }
}

bool table::over_budget() const { return state_->rows_max > 0 && rows() > state_->rows_max; }

bool table::far_over_budget() const {
  return state_->rows_max > 0 && rows() > state_->rows_max + state_->rows_max / 4 + 65'536;
}

std::size_t table::rows() const { return state_->slab.live(); }
std::size_t table::bytes() const { return state_->slab.bytes() + state_->index.bytes(); }

void table::visit(const std::function<void(row_header&)>& see) {
  for (std::uint32_t row = 0; row < state_->slab.rows(); ++row) {
    if (!state_->slab.is_free(row)) see(*state_->slab.at(row));
  }
}

void table::visit(const std::function<void(const row_header&)>& see) const {
  for (std::uint32_t row = 0; row < state_->slab.rows(); ++row) {
    if (!state_->slab.is_free(row)) see(*state_->slab.at(row));
  }
}

}  // namespace headrace::ps
