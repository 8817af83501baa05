#include "bench/gates/gate_options.hpp"
#include "bench/gates/gate_shard.hpp"
#include "ps/table/table.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <functional>
#include <malloc.h>
#include <memory>
#include <string>
#include <unistd.h>
#include <unordered_map>
#include <utility>
#include <vector>

/// `bench memory`: bytes of RAM that a row of 64 floats takes in a table without optimizer state,
/// its header and the index included: how much this process grows, divided by the rows, beside what
/// the table says of itself. Other points: rows kept as bf16, a shard whose rows all wait to be
/// written back, and an unordered_map to 64 inline floats, which is what the plain server keeps.
namespace headrace::bench {
namespace {

/// Bytes of this process that lie in memory, after malloc gave back what it kept.
double resident_bytes() {
  ::malloc_trim(0);
  std::ifstream in("/proc/self/statm");
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  in >> size >> resident;
  return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

struct held {
  double resident;  // bytes that the process grew by
  double told;      // bytes by its own account
};

/// What `make` holds on to; it returns the account of it, and what keeps it alive.
held measure(const std::function<std::pair<std::shared_ptr<void>, double>()>& make) {
  const double before = resident_bytes();
  const auto [kept, told] = make();
  return {resident_bytes() - before, told};
}

held table_of(const std::vector<std::uint64_t>& keys, const gate_job& job) {
  return measure([&]() -> std::pair<std::shared_ptr<void>, double> {
    auto rows = std::make_shared<ps::table>(schema_of(job).tables.front());
    std::array<ps::row_header*, gate_batch_rows> made;
    for (std::size_t at = 0; at < keys.size(); at += made.size()) {
      const auto some =
          std::span(keys).subspan(at, std::min<std::size_t>(made.size(), keys.size() - at));
      rows->find_or_make(some, std::span(made).first(some.size()));
    }
    return {rows, static_cast<double>(rows->bytes())};
  });
}

result<held> shard_of(const std::vector<std::uint64_t>& keys, const gate_job& job) {
  result<void> filled;
  const held found = measure([&]() -> std::pair<std::shared_ptr<void>, double> {
    auto state =
        std::make_shared<ps::shard>(shard_id{0}, schema_of(job), ps::shard_limits{}, epoch{1});
    push_source source(job, shard_id{0}, schemas::value_codec::fp32);
    filled = fill(*state, source, keys);
    return {state, static_cast<double>(state->counts().bytes)};
  });
  if (!filled) return filled.error();
  return found;
}

held map_of(const std::vector<std::uint64_t>& keys) {
  using row = std::array<float, 64>;
  return measure([&]() -> std::pair<std::shared_ptr<void>, double> {
    auto rows = std::make_shared<std::unordered_map<std::uint64_t, row>>();
    for (const std::uint64_t key : keys) (*rows)[key].fill(1.0F);
    return {rows, 0};
  });
}

/// Says whether the process and the table agree.
std::string comparison(const std::vector<double>& ours, const std::vector<double>& told) {
  const double apart = std::fabs(ratio_of(told, ours).median - 1) * 100;
  char text[96];
  std::snprintf(text,
                sizeof text,
                "resident; the table's own account %s: %.1f, %.1f %% apart",
                apart < 3 ? "agrees" : "DISAGREES",
                summarize(told).median,
                apart);
  return text;
}

}  // namespace

result<gate_report> measure_memory(const gate_options& asked) {
  gate_report report;
  report.bench = "memory";
  report.workload = std::to_string(asked.rows) + " rows of 64 floats, no optimizer state, 1 shard";
  const auto keys = keys_on(shard_id{0}, 1, asked.rows);
  const auto rows = static_cast<double>(keys.size());
  const gate_job fp32;
  gate_job bf16;
  bf16.stored = schemas::value_codec::bf16;

  std::vector<double> fp32_bytes;
  std::vector<double> fp32_told;
  std::vector<double> bf16_bytes;
  std::vector<double> bf16_told;
  std::vector<double> dirty_bytes;
  std::vector<double> map_bytes;
  for (std::uint32_t round = 0; round < asked.rounds; ++round) {
    const held plain = table_of(keys, fp32);
    fp32_bytes.push_back(plain.resident / rows);
    fp32_told.push_back(plain.told / rows);
    const held halves = table_of(keys, bf16);
    bf16_bytes.push_back(halves.resident / rows);
    bf16_told.push_back(halves.told / rows);
    const auto dirty = shard_of(keys, fp32);
    if (!dirty) return dirty.error();
    dirty_bytes.push_back(dirty->resident / rows);
    map_bytes.push_back(map_of(keys).resident / rows);
  }
  report.points.push_back({.what = "row, fp32",
                           .unit = "bytes",
                           .ours = fp32_bytes,
                           .beside = "unordered_map to 64 inline floats",
                           .others = map_bytes,
                           .kind = gate_kind::at_most,
                           .gate = 330,
                           .note = comparison(fp32_bytes, fp32_told)});
  report.points.push_back({.what = "row, kept as bf16",
                           .unit = "bytes",
                           .ours = bf16_bytes,
                           .beside = "unordered_map to 64 inline floats",
                           .others = map_bytes,
                           .kind = gate_kind::at_most,
                           .gate = 200,
                           .note = comparison(bf16_bytes, bf16_told)});
  report.points.push_back({.what = "row, fp32, in a shard where every row waits to be written back",
                           .unit = "bytes",
                           .ours = dirty_bytes});
  return report;
}

}  // namespace headrace::bench
