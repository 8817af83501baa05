// oracle_run MODEL DIR SEED [KEY=VALUE …]: trains a model on made data and leaves in DIR what
// oracle.py needs to do the same in PyTorch. MODEL is a preset's name or a model file; the values
// replace some of its own, as `layers.deep1.units=16`.
//
// The trainer and four shards of one process, joined by the real messages: what a job does, without
// sockets, disks and time. DIR gets run.json, which names the other files; those are raw arrays,
// little-endian, float32 but for the keys (uint64).
#include "base/check.hpp"
#include "base/json_line.hpp"
#include "base/parse_number.hpp"
#include "base/random.hpp"
#include "ps/shard/shard.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "worker/model/presets.hpp"
#include "worker/step/pull_plan.hpp"
#include "worker/step/trainer.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace headrace {
namespace {

static_assert(std::endian::native == std::endian::little, "oracle.py reads little-endian arrays");

using batch_pointer = std::shared_ptr<const schemas::sample_batch>;

constexpr std::uint32_t shards = 4;
constexpr std::uint32_t steps = 200;
constexpr std::uint32_t samples = 32;
constexpr std::uint64_t ids = 50;  // of each feature
const std::vector<std::string> label_names = {"click", "conversion"};
constexpr std::uint32_t list_max = 7;

// ---- the job ----

// Ids and numbers mixed, so that a layer which takes some of them must find them.
std::vector<worker::model_feature> job_features() {
  return {{"id0"},
          {"number0", true},
          {"id1"},
          {"id2"},
          {"number1", true},
          {"id3"},
          {"id4"},
          {"number2", true},
          {"id5"},
          {"seen", false, list_max}};
}

result<std::string> model_text(const std::string& model) {
  if (const auto* preset = worker::find_preset(model); preset != nullptr)
    return std::string(preset->text);
  std::ifstream file(model);
  std::stringstream text;
  text << file.rdbuf();
  if (!file) return error{errc::not_found, "no preset and no file: " + model};
  return text.str();
}

// What a job without a word about optimizers gets (cli/job/table_section.cpp), but for the
// first-order column: values of its own show that no other column gets them. `spread`: vectors as
// large as a model has them later. Norms of what is near 0 make its rounding large, and each side
// has its own.
schemas::table_spec table_of(const worker::model_table& wanted,
                             std::size_t id,
                             std::uint64_t seed,
                             bool spread) {
  schemas::table_spec table;
  table.id = table_id{static_cast<std::uint32_t>(id)};
  table.name = wanted.name;
  table.dim = static_cast<std::uint32_t>(wanted.dim);
  table.init = {seed, wanted.init_scale};
  if (spread && wanted.rows == 0) table.init.scale = 0.5F;
  table.optimizer.first_order_columns = wanted.first_order_columns;
  table.optimizer.rate = 0.05F;
  table.optimizer.initial_accumulator = 0.1F;
  table.optimizer.first_rate = 0.1F;
  table.optimizer.first_initial_accumulator = 0.2F;
  if (wanted.network) {
    table.optimizer.kind = schemas::optimizer_kind::adam;
    table.optimizer.rate = 0.001F;
  }
  return table;
}

bool predicts_next(const worker::model_graph& graph) {
  return graph.nodes().back().op == "next_item";
}

schemas::job_schema schema_of(const worker::model_graph& graph, std::uint64_t seed) {
  schemas::job_schema schema;
  schema.shards = shards;
  const bool spread = predicts_next(graph);
  for (const auto& table : graph.tables())
    schema.tables.push_back(table_of(table, schema.tables.size(), seed, spread));
  return schema;
}

// ---- the samples ----

// Low ids are common, as online; the last two id features share theirs, so that a sample can hold
// one key twice. A number has one key and a value in [-1, 1).
std::uint64_t draw_key(random_stream& random, std::size_t feature, bool number, bool shared) {
  if (number) return mix64(feature * 1'000);
  const double u = random.next_unit();
  const auto id = static_cast<std::uint64_t>(static_cast<double>(ids) * u * u);
  return mix64((shared ? 0 : feature + 1) * 1'000 + id + 1);
}

// Labels follow the ids and the products of neighbours, with noise: there is something to learn.
float draw_label(random_stream& random, const schemas::sample_batch& batch, std::size_t begin) {
  double logit = 0.0;
  double before = 0.0;
  for (std::size_t i = begin; i < batch.keys.size(); ++i) {
    const double effect =
        (2.0 * unit_double(mix64(batch.keys[i])) - 1.0) * static_cast<double>(batch.values[i]);
    logit += effect + 2.0 * effect * before;
    before = effect;
  }
  return random.next_unit() < 1.0 / (1.0 + std::exp(-2.0 * logit)) ? 1.0F : 0.0F;
}

// A label that only a click has: as often as not, by the first key of the sample, and by a draw of
// its own, so that the others are what they are without it.
float draw_conversion(float click, std::uint64_t row, std::uint64_t first_key) {
  const double share = 0.2 + 0.6 * unit_double(mix64(first_key + 1));
  return click > 0.5F && unit_double(counter_draw(7, 1, row)) < share ? 1.0F : 0.0F;
}

// A list of each sample: up to list_max of the ids that the last two id features share. Drawn
// apart, so that what models without lists see does not depend on them.
void draw_lists(random_stream& random, schemas::sample_batch& batch) {
  batch.sequences = 1;
  for (std::uint32_t s = 0; s < samples; ++s) {
    batch.lengths.push_back(static_cast<std::uint16_t>(random.next_below(list_max + 1)));
    for (std::uint16_t t = 0; t < batch.lengths.back(); ++t)
      batch.sequence_keys.push_back(draw_key(random, 0, false, true));
  }
}

batch_pointer draw_batch(random_stream& random,
                         random_stream& list_random,
                         std::span<const worker::model_feature> features,
                         std::uint64_t number) {
  auto batch = std::make_shared<schemas::sample_batch>();
  batch->source = {"oracle", 1};
  batch->batch = batch_number{number};
  batch->prev = batch_number{number - 1};
  batch->samples = samples;
  batch->features =
      static_cast<std::uint32_t>(std::ranges::count(features, false, &worker::model_feature::list));
  CHECK(batch->features + 1 == features.size());
  batch->label_count = static_cast<std::uint32_t>(label_names.size());
  for (std::uint32_t s = 0; s < samples; ++s) {
    for (std::size_t f = 0; f < batch->features; ++f) {
      const bool shared = f + 3 >= batch->features;
      batch->keys.push_back(draw_key(random, f, features[f].number, shared));
      batch->values.push_back(
          features[f].number ? static_cast<float>(2.0 * random.next_unit() - 1.0) : 1.0F);
    }
    const std::size_t begin = batch->keys.size() - batch->features;
    const std::uint64_t row = (number - 1) * samples + s;
    const float click = draw_label(random, *batch, begin);
    batch->labels.push_back(click);
    batch->labels.push_back(draw_conversion(click, row, batch->keys[begin]));
    batch->row_numbers.push_back(row);
  }
  draw_lists(list_random, *batch);
  return batch;
}

// ---- training ----

// Shards without servers around them: messages in, messages out.
class cluster {
 public:
  explicit cluster(const schemas::job_schema& schema) : schema_version_(schema.version) {
    for (std::uint32_t s = 0; s < schema.shards; ++s)
      shards_.push_back(
          std::make_unique<ps::shard>(shard_id{s}, schema, ps::shard_limits{}, epoch{1}));
  }

  using taker = std::function<result<void>(const schemas::pull_reply&)>;
  result<void> pull(const worker::pull_plan& plan,
                    std::span<const worker::row_set> sets,
                    const taker& take) const {
    for (const auto& shard : shards_) {
      const frame section = plan.section(shard->id(), sets, schema_version_);
      if (section.empty()) continue;
      const auto asked = schemas::decode_pull(section);
      if (!asked) return asked.error();
      const auto reply = schemas::decode_pull_reply(shard->pull(*asked));
      if (!reply) return reply.error();
      if (reply->status != errc::ok) return error{reply->status, reply->detail};
      if (auto taken = take(*reply); !taken) return taken;
    }
    return {};
  }

  result<void> push(worker::trainer& by, const worker::training_step& step) {
    for (const auto& shard : shards_) {
      const frame section = by.push_section(step, shard->id(), newest_[shard->id().value]);
      if (section.empty()) continue;
      if (auto applied = apply(*shard, section); !applied) return applied;
      newest_[shard->id().value] = step.batch->batch;
    }
    if (!by.has_network()) return {};
    const auto dense = by.push_dense(step, step.batch->prev);
    for (const auto& shard : shards_) {
      if (auto applied = apply(*shard, dense[shard->id().value]); !applied) return applied;
    }
    return {};
  }

 private:
  static result<void> apply(ps::shard& shard, const frame& section) {
    const auto push = schemas::decode_push(section);
    if (!push) return push.error();
    const auto decision = shard.decide(*push, 1);
    if (!decision.record) return error{decision.ack.status, decision.ack.detail};
    const auto ack = shard.commit(decision.record->lsn);
    if (!ack.applied) return error{ack.status, ack.detail};
    return {};
  }

  std::uint32_t schema_version_;
  std::vector<std::unique_ptr<ps::shard>> shards_;
  std::vector<batch_number> newest_ = std::vector<batch_number>(shards);  // pushed to each
};

// One set for each table with every key that some batch needs.
std::vector<worker::row_set> all_rows(worker::trainer& by, std::span<const batch_pointer> batches) {
  std::vector<worker::row_set> all;
  for (const auto& batch : batches) {
    auto step = by.begin(batch);
    all.resize(step->sets.size());
    for (std::size_t t = 0; t < all.size(); ++t) {
      const auto& set = step->sets[t];
      all[t].table = set.table;
      all[t].dim = set.dim;
      all[t].keys.insert(all[t].keys.end(), set.keys.begin(), set.keys.end());
      std::ranges::sort(all[t].keys);
      all[t].keys.erase(std::unique(all[t].keys.begin(), all[t].keys.end()), all[t].keys.end());
    }
    by.recycle(std::move(step));
  }
  for (auto& set : all) set.size_buffers();
  return all;
}

result<void> pull_all(const cluster& from, std::vector<worker::row_set>& sets) {
  worker::pull_plan plan;
  plan.build(sets, shards);
  return from.pull(
      plan, sets, [&](const schemas::pull_reply& reply) { return plan.scatter(reply, sets); });
}

// What is learned, from the probabilities, in double: cross-entropies times their heads' weights.
// Of next_item, which has one probability for a list, that of all its ids but the first.
double loss_of(const worker::model_graph& graph, const worker::training_step& step) {
  double sum = 0.0;
  if (predicts_next(graph)) {
    for (std::size_t s = 0; s < step.online.size(); ++s)
      sum -= std::max(0.0, static_cast<double>(step.batch->lengths[s]) - 1.0) *
             std::log(static_cast<double>(step.online[s]));
    return sum;
  }
  const auto heads = graph.heads();
  for (std::size_t i = 0; i < step.online.size(); ++i) {
    const auto& head = heads[i % heads.size()];
    const auto p = static_cast<double>(step.online[i]);
    const float label = step.batch->labels[i / heads.size() * label_names.size() + head.label];
    sum -= static_cast<double>(head.weight) * std::log(label > 0.5F ? p : 1.0 - p);
  }
  return sum;
}

result<double> train(cluster& servers, worker::trainer& by, const batch_pointer& batch) {
  auto step = by.begin(batch);
  auto pulled = servers.pull(step->plan, step->sets, [&](const schemas::pull_reply& reply) {
    return by.accept(*step, reply);
  });
  if (!pulled) return pulled.error();
  by.learn(*step);
  const double loss = loss_of(by.graph(), *step);
  if (auto pushed = servers.push(by, *step); !pushed) return pushed.error();
  by.recycle(std::move(step));
  return loss;
}

// ---- what oracle.py reads ----

// The folder and its description, written together.
class run_folder {
 public:
  explicit run_folder(std::filesystem::path folder) : folder_(std::move(folder)) {}

  json_line& description() { return description_; }
  /// Writes the array to a file and its name under `key`.
  template <class Value>
  void add_array(const std::string& key, const std::string& file, std::span<const Value> values) {
    write(file, std::as_bytes(values));
    description_.add(key, file);
  }
  result<void> close() {
    const std::string text = description_.text() + "\n";
    write("run.json", std::as_bytes(std::span(text)));
    if (!written_) return error{errc::io_error, "cannot write to " + folder_.string()};
    return {};
  }

 private:
  void write(const std::string& file, std::span<const std::byte> bytes) {
    std::ofstream to(folder_ / file, std::ios::binary);
    to.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
    to.close();
    written_ = written_ && to.good();
  }

  std::filesystem::path folder_;
  json_line description_;
  bool written_ = true;
};

void describe_samples(run_folder& to,
                      std::span<const worker::model_feature> features,
                      std::span<const batch_pointer> batches) {
  std::vector<std::uint64_t> keys;
  std::vector<float> values;
  std::vector<float> labels;
  std::vector<std::uint64_t> lengths;
  std::vector<std::uint64_t> list_keys;
  for (const auto& batch : batches) {
    keys.insert(keys.end(), batch->keys.begin(), batch->keys.end());
    values.insert(values.end(), batch->values.begin(), batch->values.end());
    labels.insert(labels.end(), batch->labels.begin(), batch->labels.end());
    lengths.insert(lengths.end(), batch->lengths.begin(), batch->lengths.end());
    list_keys.insert(list_keys.end(), batch->sequence_keys.begin(), batch->sequence_keys.end());
  }
  to.description().add("steps", steps).add("samples", samples).begin_array("features");
  for (const auto& feature : features)
    to.description()
        .begin_object_item()
        .add("name", feature.name)
        .add("number", feature.number)
        .add("list", feature.list())
        .end();
  to.description().end().begin_array("label_names");
  for (const std::string& name : label_names) to.description().add_item(name);
  to.description().end();
  to.add_array<std::uint64_t>("keys", "keys.u64", keys);
  to.add_array<float>("values", "values.f32", values);
  to.add_array<float>("labels", "labels.f32", labels);
  to.add_array<std::uint64_t>("lengths", "lengths.u64", lengths);
  to.add_array<std::uint64_t>("list_keys", "list_keys.u64", list_keys);
}

void describe_tables(run_folder& to,
                     const schemas::job_schema& schema,
                     std::span<const worker::row_set> before,
                     std::span<const worker::row_set> after) {
  to.description().begin_object("tables");
  for (std::size_t t = 0; t < schema.tables.size(); ++t) {
    const auto& table = schema.tables[t];
    const auto& optimizer = table.optimizer;
    to.description()
        .begin_object(table.name)
        .add("dim", table.dim)
        .add("optimizer", schemas::name(optimizer.kind))
        .add("rate", static_cast<double>(optimizer.rate))
        .add("first_rate", static_cast<double>(optimizer.first_rate))
        .add("accumulator", static_cast<double>(optimizer.initial_accumulator))
        .add("first_accumulator", static_cast<double>(optimizer.first_initial_accumulator))
        .add("first_columns", optimizer.first_order_columns);
    const std::string stem = "table" + std::to_string(t);
    to.add_array<std::uint64_t>("keys", stem + ".keys.u64", before[t].keys);
    to.add_array<float>("initial", stem + ".initial.f32", before[t].values);
    to.add_array<float>("final", stem + ".final.f32", after[t].values);
    to.description().end();
  }
  to.description().end();
}

struct run_spec {
  std::string model;
  std::filesystem::path folder;
  std::uint64_t seed = 0;
  std::vector<std::string> overrides;
};

result<void> run(const run_spec& wanted) {
  const auto features = job_features();
  const auto text = model_text(wanted.model);
  if (!text) return text.error();
  auto graph =
      worker::model_graph::load(*text, wanted.model, wanted.overrides, features, label_names);
  if (!graph) return graph.error();
  const auto schema = schema_of(*graph, wanted.seed);
  worker::trainer trainer(std::make_shared<const worker::model_graph>(std::move(*graph)),
                          schema,
                          schemas::value_codec::fp32);
  cluster servers(schema);

  random_stream random(wanted.seed);
  random_stream list_random(mix64(wanted.seed));
  std::vector<batch_pointer> batches;
  for (std::uint64_t step = 1; step <= steps; ++step)
    batches.push_back(draw_batch(random, list_random, features, step));
  auto before = all_rows(trainer, batches);
  auto after = before;
  if (auto pulled = pull_all(servers, before); !pulled) return pulled;

  run_folder to(wanted.folder);
  to.description().add("model", *text).begin_array("losses");
  for (const auto& batch : batches) {
    const auto loss = train(servers, trainer, batch);
    if (!loss) return loss.error();
    to.description().add_item(*loss);
  }
  to.description().end();
  if (auto pulled = pull_all(servers, after); !pulled) return pulled;
  describe_samples(to, features, batches);
  describe_tables(to, schema, before, after);
  return to.close();
}

}  // namespace
}  // namespace headrace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const auto seed =
      words.size() < 3 ? std::nullopt : headrace::parse_number<std::uint64_t>(words[2]);
  if (!seed) {
    std::fputs("usage: oracle_run MODEL DIR SEED [KEY=VALUE ...]\n", stderr);
    return 2;
  }
  const auto ran = headrace::run({words[0], words[1], *seed, {words.begin() + 3, words.end()}});
  if (!ran) {
    std::fprintf(stderr, "oracle_run: %s\n", headrace::describe(ran.error()).c_str());
    return 1;
  }
  return 0;
}
