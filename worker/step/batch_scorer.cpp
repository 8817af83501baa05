#include "worker/step/batch_scorer.hpp"

#include "base/check.hpp"
#include "schemas/pull.hpp"
#include "schemas/wire.hpp"
#include "worker/step/pull_plan.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {

namespace {

// Rows of shards: asks every one that has some of them.
class pulled_rows {
 public:
  pulled_rows(const schemas::job_schema& schema, batch_scorer::row_pull pull)
      : shards_(schema.shards), schema_version_(schema.version), pull_(std::move(pull)) {}

  result<void> operator()(std::span<row_set> sets) {
    plan_.build(sets, shards_);
    for (std::uint32_t s = 0; s < shards_; ++s) {
      const shard_id shard{s};
      if (!plan_.touches(shard)) continue;
      const auto reply =
          schemas::decode_pull_reply(pull_(shard, plan_.section(shard, sets, schema_version_)));
      if (!reply) return reply.error();
      if (reply->status != errc::ok) return error{reply->status, reply->detail};
      if (auto placed = plan_.scatter(*reply, sets); !placed) return placed;
    }
    CHECK(plan_.complete());
    return {};
  }

 private:
  std::uint32_t shards_;
  std::uint32_t schema_version_;
  batch_scorer::row_pull pull_;
  pull_plan plan_;
};

}  // namespace

batch_scorer::batch_scorer(std::shared_ptr<const model_graph> model, row_read read)
    : model_(std::move(model)), read_(std::move(read)) {}

batch_scorer::batch_scorer(std::shared_ptr<const model_graph> model,
                           const schemas::job_schema& schema,
                           row_pull pull)
    : batch_scorer(std::move(model), pulled_rows(schema, std::move(pull))) {
  const auto tables = model_.graph().tables();
  CHECK(tables.size() == schema.tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t) CHECK(tables[t].dim == schema.tables[t].dim);
}

result<void> batch_scorer::compute(const schemas::sample_batch& batch,
                                   std::size_t node,
                                   std::vector<float>& values) {
  model_.plan(batch, sets_);
  model_.plan_network(sets_);
  if (auto found = read_(sets_); !found) return found;
  model_.compute(batch, sets_, node, values);
  return {};
}

result<void> batch_scorer::rows(std::size_t table,
                                std::span<const std::uint64_t> keys,
                                std::vector<float>& values) {
  const std::size_t at_once = rows_max();
  row_set set;
  set.table = table_id{static_cast<std::uint32_t>(table)};
  set.dim = model_.graph().tables()[table].dim;
  values.clear();
  values.reserve(keys.size() * set.dim);
  for (std::size_t begin = 0; begin < keys.size(); begin += at_once) {
    const auto part = keys.subspan(begin, std::min(at_once, keys.size() - begin));
    set.keys.assign(part.begin(), part.end());
    set.counts.assign(part.size(), 1);
    set.size_buffers();
    if (auto found = read_(std::span(&set, 1)); !found) return found;
    values.insert(values.end(), set.values.begin(), set.values.end());
  }
  return {};
}

result<void> batch_scorer::score(const schemas::sample_batch& batch,
                                 std::vector<float>& probabilities,
                                 network parameters) {
  model_.plan(batch, sets_);
  if (parameters == network::read) model_.plan_network(sets_);
  if (auto found = read_(sets_); !found) return found;
  probabilities.resize(batch.samples * heads().size());
  model_.predict(batch, sets_, probabilities);
  return {};
}

// Every key of every sample may be another one and lie on one shard; half of a frame is left for
// the matrices, which come whole, and for the envelope.
std::size_t batch_scorer::rows_max() const {
  std::size_t widest = 1;
  for (const auto& table : model_.graph().tables()) {
    if (table.rows == 0) widest = std::max(widest, table.dim);
  }
  const std::size_t row_bytes = widest * sizeof(float) + 2 * sizeof(std::uint64_t);
  return std::min<std::size_t>(schemas::block_rows_max, schemas::frame_bytes_max / 2 / row_bytes);
}

std::size_t batch_scorer::samples_max(std::size_t keys) const {
  return std::clamp<std::size_t>(
      rows_max() / std::max<std::size_t>(1, keys), 1, graph_model::chunk_samples);
}

}  // namespace headrace::worker
