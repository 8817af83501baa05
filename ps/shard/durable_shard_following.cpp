// What those who follow a shard need of its disk.
#include "ps/shard/durable_shard.hpp"

#include <utility>

namespace headrace::ps {

void durable_shard::with_rows(std::span<const schemas::pull_block> blocks,
                              std::function<void()> use) {
  auto what = std::make_shared<request>();
  if (state_->has_cold_rows()) what->rows = state_->open_set(blocks);
  auto then = [this, what, use = std::move(use)] {
    use();
    state_->close_set(what->rows);
    tidy();
  };
  if (what->rows.missing() == 0) return then();
  fetch(what, std::move(then));
}

struct durable_shard::key_piece {
  struct run {
    table_id table;
    std::vector<std::uint64_t> keys;
  };
  key_visitor see;
  std::function<void()> done;
  storage::row_place from;
  std::vector<run> runs;
  std::size_t rows = 0;
  result<void> read;

  void add(const storage::stored_row& row) {
    if (runs.empty() || runs.back().table != row.table) runs.push_back({row.table, {}});
    runs.back().keys.push_back(row.key.value);
    ++rows;
    from = row.key.value == UINT64_MAX
               ? storage::row_place{table_id{row.table.value + 1}, row_key{0}}
               : storage::row_place{row.table, row_key{row.key.value + 1}};
  }
};

void durable_shard::scan_stored_keys(key_visitor see, std::function<void()> done) {
  auto scan = std::make_shared<key_piece>();
  scan->see = std::move(see);
  scan->done = std::move(done);
  scan_keys(scan);
}

void durable_shard::scan_keys(const std::shared_ptr<key_piece>& scan) {
  scan->runs.clear();
  scan->rows = 0;
  parts_.io->run(
      [scan, store = parts_.rows, id = state_->id(), rows_max = parts_.how.rows_per_piece] {
        scan->read = store->scan_from(
            id, scan->from, rows_max, [&](const storage::stored_row& row) { scan->add(row); });
      },
      [this, scan] {
        if (failed()) return;
        if (!scan->read) return fail(scan->read.error());
        for (const key_piece::run& each : scan->runs) {
          if (each.table.value >= state_->tables()) continue;  // a mark of the store's
          if (!scan->see(each.table, each.keys)) return scan->done();
        }
        if (scan->rows < parts_.how.rows_per_piece) return scan->done();
        scan_keys(scan);
      });
}

}  // namespace headrace::ps
