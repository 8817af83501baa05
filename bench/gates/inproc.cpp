#include "bench/gates/gate_options.hpp"
#include "bench/gates/gate_shard.hpp"
#include "ps/table/huge_region.hpp"
#include "schemas/pull.hpp"

#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

/// `bench inproc`: pulls and pushes in one process without sockets, two threads, each with a shard
/// of its own. Timed is all that client and shard do: encode the section, decode it, look up and
/// gather the rows into the reply (or check and apply the push, and make its acknowledgement),
/// decode the reply. No log. Beside each, the limit: rows of the same stride on huge pages copied
/// (or added to) by address, without keys or sections.
namespace headrace::bench {
namespace {

constexpr unsigned threads = 2;
constexpr std::size_t pool = 64;  // batches that go round
constexpr std::size_t row_floats = 64;

/// Shard, client and batches of one thread.
struct side {
  side(const gate_job& job, shard_id id, std::uint64_t rows)
      : shard(std::make_unique<ps::shard>(id, schema_of(job), ps::shard_limits{}, epoch{1})),
        source(job, id, schemas::value_codec::fp32),
        keys(keys_on(id, job.shards, rows)) {
    random_stream random(42 + id.value);
    for (std::size_t i = 0; i < pool; ++i)
      batches.push_back(draw_keys(keys, gate_batch_rows, random));
  }
  const std::vector<std::uint64_t>& next_batch() { return batches[next++ % pool]; }

  result<std::size_t> push() {
    const auto& batch = next_batch();
    if (auto done = push_without_log(*shard, source.next(batch)); !done) return done.error();
    return batch.size();
  }
  result<std::size_t> pull() {
    const auto& batch = next_batch();
    const auto section =
        schemas::decode_pull(pull_of(shard->id(), batch, schemas::value_codec::fp32));
    if (!section) return section.error();
    const auto reply = schemas::decode_pull_reply(shard->pull(*section));
    if (!reply) return reply.error();
    if (reply->status != errc::ok) return error{reply->status, reply->detail};
    sum += reply->blocks.front().fp32_values().front();
    return batch.size();
  }

  std::unique_ptr<ps::shard> shard;
  push_source source;
  std::vector<std::uint64_t> keys;
  std::vector<std::vector<std::uint64_t>> batches;
  std::size_t next = 0;
  float sum = 0;  // of values that came: what is pulled is read
};

/// Rows as a table has them, and nothing around them.
struct bare_rows {
  static constexpr std::size_t stride = sizeof(ps::row_header) + row_floats * sizeof(float);
  bare_rows(std::uint64_t rows_of, std::uint64_t seed)
      : rows(rows_of), memory(rows * stride), batch(gate_batch_rows * row_floats, 0x1p-10F) {
    std::memset(memory.data(), 0, memory.size());
    random_stream random(seed);
    for (std::size_t i = 0; i < pool * gate_batch_rows; ++i)
      at.push_back(static_cast<std::uint32_t>(random.next_below(rows)));
  }
  float* row(std::size_t i) const {
    return reinterpret_cast<float*>(memory.data() + at[i] * stride + sizeof(ps::row_header));
  }
  /// Calls `each(row, values in the batch)`; rows some places on are on their way meanwhile.
  template <class Each>
  std::size_t visit(Each&& each) {
    constexpr std::size_t ahead = 16;
    const std::size_t begin = next++ % (pool - 1) * gate_batch_rows;
    for (std::size_t i = 0; i < gate_batch_rows; ++i) {
      const auto* soon = reinterpret_cast<const std::byte*>(row(begin + i + ahead));
      for (std::size_t line = 0; line < stride; line += 64) __builtin_prefetch(soon + line);
      each(row(begin + i), batch.data() + i * row_floats);
    }
    return gate_batch_rows;
  }

  std::uint64_t rows;
  ps::huge_region memory;
  std::vector<float> batch;
  std::vector<std::uint32_t> at;
  std::size_t next = 0;
};

void add_row(float* row, const float* values) {
  for (std::size_t c = 0; c < row_floats; ++c) row[c] += values[c];
}

void copy_row(const float* row, float* to) { std::memcpy(to, row, row_floats * sizeof(float)); }

}  // namespace

result<gate_report> measure_inproc(const gate_options& asked) {
  gate_report report;
  report.bench = "inproc";
  report.workload = "2 threads with a shard each, " + std::to_string(asked.rows) +
                    " rows of 64 floats in all, fp32, add, batch 4096 of uniform keys, no log";
  gate_job job;
  job.shards = threads;
  std::vector<std::unique_ptr<side>> sides;
  std::vector<std::unique_ptr<bare_rows>> bare;
  for (std::uint32_t i = 0; i < threads; ++i) {
    sides.push_back(std::make_unique<side>(job, shard_id{i}, asked.rows));
    if (auto filled = fill(*sides[i]->shard, sides[i]->source, sides[i]->keys); !filled)
      return filled.error();
    bare.push_back(std::make_unique<bare_rows>(asked.rows / threads, i));
  }
  gate_point pull{.what = "pull", .unit = "rows/s", .beside = "rows copied by address"};
  pull.kind = gate_kind::at_least;
  pull.gate = 12e6;
  gate_point push{.what = "push", .unit = "rows/s", .beside = "rows added to by address"};
  push.kind = gate_kind::at_least;
  push.gate = 6e6;
  struct timed {
    std::vector<double>* into;
    std::function<result<std::size_t>(unsigned)> step;
  };
  const std::vector<timed> all = {
      {&pull.ours, [&](unsigned i) { return sides[i]->pull(); }},
      {&pull.others,
       [&](unsigned i) {
         return bare[i]->visit([](float* row, float* to) { copy_row(row, to); });
       }},
      {&push.ours, [&](unsigned i) { return sides[i]->push(); }},
      {&push.others, [&](unsigned i) {
         return bare[i]->visit([](float* row, float* values) { add_row(row, values); });
       }}};
  for (std::uint32_t round = 0; round <= asked.rounds; ++round) {
    const bool warm_up = round == 0;
    for (const timed& each : all) {
      const auto rate = rate_of_threads(threads, warm_up ? 0.2 : asked.seconds, each.step);
      if (!rate) return rate.error();
      if (!warm_up) each.into->push_back(*rate);
    }
  }
  report.points = {std::move(pull), std::move(push)};
  return report;
}

}  // namespace headrace::bench
