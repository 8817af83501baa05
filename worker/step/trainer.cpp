#include "worker/step/trainer.hpp"

#include "base/check.hpp"

#include <string>
#include <utility>

namespace headrace::worker {

namespace {

/// The tables of which every batch pushes all rows.
std::vector<bool> dense_tables(const model_graph& model) {
  std::vector<bool> dense;
  for (const model_table& table : model.tables())
    dense.push_back(table.rows > 0 && table.block_rows == 0);
  return dense;
}

push_spec all_in(schemas::value_codec codec, std::size_t tables) {
  CHECK(codec <= schemas::value_codec::int8);
  const auto choice = codec == schemas::value_codec::int8 ? push_choice::int8 : push_choice::fp32;
  return {.tables = std::vector<push_choice>(tables, choice)};
}

}  // namespace

trainer::trainer(std::shared_ptr<const model_graph> model,
                 const schemas::job_schema& schema,
                 schemas::value_codec push_codec,
                 std::uint32_t dense_every,
                 precision as)
    : trainer(std::move(model), schema, all_in(push_codec, schema.tables.size()), dense_every, as) {
}

trainer::trainer(std::shared_ptr<const model_graph> model,
                 schemas::job_schema schema,
                 push_spec push,
                 std::uint32_t dense_every,
                 precision as,
                 activations how,
                 std::optional<device_library> device)
    : schema_(std::move(schema)),
      model_(std::move(model), as, how, std::move(device)),
      packer_(std::move(push), dense_tables(model_.graph())),
      dense_(model_.host(), schema_.shards),
      twin_(schema_),
      dense_every_(dense_every) {
  CHECK(dense_every_ > 0);
  const auto tables = model_.graph().tables();
  CHECK(tables.size() == schema_.tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t) CHECK(tables[t].dim == schema_.tables[t].dim);
  twin_.note(dense_.tables());
}

result<void> trainer::check(const schemas::sample_batch& batch) const {
  const std::size_t labels = graph().labels();
  if (batch.samples == 0 || batch.label_count >= labels) return {};
  return error{errc::bad_config,
               "batch " + std::to_string(batch.batch.value) + " of the sample log has " +
                   std::to_string(batch.label_count) + " labels a sample, and the model learns " +
                   std::to_string(labels) + ": source.label was changed; begin a new state folder"};
}

std::unique_ptr<training_step> trainer::begin(std::shared_ptr<const schemas::sample_batch> batch) {
  std::unique_ptr<training_step> step;
  if (pool_.empty()) {
    step = std::make_unique<training_step>();
  } else {
    step = std::move(pool_.back());
    pool_.pop_back();
  }
  model_.plan(*batch, step->sets);
  if (has_twin_ && !twin_.frozen()) twin_.note(step->sets);
  step->with_network = has_network() && begun_++ % dense_every_ == 0;
  if (step->with_network) model_.plan_network(step->sets);
  step->plan.build(step->sets, schema_.shards);
  step->batch = std::move(batch);
  return step;
}

void trainer::note(const schemas::sample_batch& batch) {
  if (!has_twin_ || twin_.frozen()) return;
  model_.plan(batch, noted_sets_);
  twin_.note(noted_sets_);
}

result<void> trainer::accept(training_step& step, const schemas::pull_reply& reply) const {
  return step.plan.scatter(reply, step.sets);
}

void trainer::learn(training_step& step, bool sum_dense) {
  CHECK(step.plan.complete());
  dense_.take_pulled(step.sets, step.plan);
  step.frozen.clear();
  if (twin_.frozen()) predict_frozen(step);
  step.online.resize(step.batch->samples * graph().heads().size());
  dense_.lend(step.sets);
  step.finite = model_.learn(*step.batch, step.sets, step.online);
  dense_.take_back(step.sets, step.finite && sum_dense);
}

// The same forward pass over the twin's rows, which stand in for the pulled ones meanwhile. Its
// network never changes, so that is looked up once.
void trainer::predict_frozen(training_step& step) {
  if (twin_values_.empty()) {
    twin_values_.resize(step.sets.size());
    for (const row_set& table : dense_.tables())
      twin_.rows_of(table, twin_values_[table.table.value]);
  }
  for (std::size_t s = 0; s < step.sets.size(); ++s) {
    if (step.sets[s].lane == schemas::lane::rows) twin_.rows_of(step.sets[s], twin_values_[s]);
    std::swap(step.sets[s].values, twin_values_[s]);
  }
  step.frozen.resize(step.batch->samples * graph().heads().size());
  model_.predict(*step.batch, step.sets, step.frozen);
  for (std::size_t s = 0; s < step.sets.size(); ++s)
    std::swap(step.sets[s].values, twin_values_[s]);
}

schemas::push_section trainer::header_of(const training_step& step,
                                         shard_id shard,
                                         batch_number prev) const {
  schemas::push_section header;
  header.epoch = step.plan.pulled_epoch(shard);
  header.schema_version = schema_.version;
  header.shard = shard;
  header.source = step.batch->source;
  header.batch = step.batch->batch;
  header.prev = prev;
  header.pulled_version = step.plan.pulled_version(shard);
  header.event_time_ms = step.batch->event_time_max_ms;
  header.accepted_ms =
      step.batch->last ? schemas::source_ended_ms : step.batch->accepted_through_ms();
  return header;
}

frame trainer::push_section(const training_step& step, shard_id shard, batch_number prev) {
  if (!step.plan.touches(shard, step.sets, schemas::lane::rows)) return {};
  auto header = header_of(step, shard, prev);
  if (!step.finite) return schemas::encode(header);
  return packer_.section(std::move(header), step.sets, step.plan);
}

std::vector<frame> trainer::push_dense(const training_step& step, batch_number prev) {
  std::vector<frame> sections;
  for (std::uint32_t s = 0; s < schema_.shards; ++s)
    sections.push_back(dense_.section(header_of(step, shard_id{s}, prev), packer_));
  dense_.start_anew();
  return sections;
}

void trainer::recycle(std::unique_ptr<training_step> step) {
  step->batch.reset();
  pool_.push_back(std::move(step));
}

}  // namespace headrace::worker
