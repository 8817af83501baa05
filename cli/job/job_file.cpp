#include "cli/job/job_file.hpp"

#include "actors/transport/context.hpp"
#include "base/config.hpp"
#include "base/parse_number.hpp"
#include "cli/job/model_section.hpp"
#include "cli/job/push_section.hpp"
#include "cli/job/read_text.hpp"
#include "cli/job/source_section.hpp"
#include "cli/job/table_section.hpp"
#include "schemas/wire.hpp"
#include "worker/batch/history_mix.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::uint64_t ms = 1'000'000;  // nanoseconds
constexpr std::uint64_t second = 1'000 * ms;
constexpr std::uint64_t day = 86'400 * second;

void read_train(config_reader& config, train_spec& train) {
  train.batch_max =
      static_cast<std::uint32_t>(config.whole("train.batch_max", train.batch_max, {1, 65'536}));
  train.batch_wait_ns =
      config.duration_ns("train.batch_wait", train.batch_wait_ns, {0, 60 * second});
  train.in_flight =
      static_cast<std::uint32_t>(config.whole("train.in_flight", train.in_flight, {1, 256}));
  const auto staleness = config.optional_whole("train.staleness", {0, 1'000'000'000});
  if (staleness) train.staleness_max = static_cast<std::uint64_t>(*staleness);
  train.dense_every =
      static_cast<std::uint32_t>(config.whole("train.dense_every", train.dense_every, {1, 1'000}));
  train.device = config.choice<worker::device_choice>(
      "train.device", name(train.device), worker::device_words);
  train.precision = config.choice<worker::precision_choice>(
      "train.precision", name(train.precision), worker::precision_words);
  train.activations = config.choice<worker::activations>(
      "train.activations",
      "keep",
      {{"keep", worker::activations::keep}, {"recompute", worker::activations::recompute}});
  train.freeze_at = config.number("train.freeze_at", train.freeze_at, {0.0, 1.0});
  train.mix_history =
      config.number("train.mix_history", train.mix_history, {0.0, worker::history_mix::share_max});
  train.history_batches =
      static_cast<std::uint64_t>(config.whole("train.history_batches", 0, {0, 1'000'000'000'000}));
  if (train.history_batches > 0 && train.mix_history == 0.0)
    config.refuse("train.history_batches", "needs train.mix_history");
}

// With the history that is mixed in, in a batch that is full.
std::uint64_t batch_samples_max(const train_spec& train) {
  const double fresh = train.batch_max;
  return static_cast<std::uint64_t>(std::ceil(fresh / (1.0 - train.mix_history)));
}

void check_history(config_reader& config, const job& made) {
  if (made.train.mix_history == 0.0 || made.replay.passes == 1) return;
  config.refuse("train.mix_history",
                "is for a stream that goes by once; with replay.passes = " +
                    std::to_string(made.replay.passes) + " every event comes again");
}

// A batch's rows of one shard travel as one section, which is bounded in rows and bytes. Keys
// spread evenly over the shards, so half of the bound leaves room for chance.
void check_batch_fits(config_reader& config, const job& made) {
  std::uint64_t features = 0;
  for (const auto& feature : features_of(made.source))
    features += std::max<std::uint64_t>(1, feature.list_max);
  const std::uint64_t row_bytes =
      widest_lookup(*made.model) * sizeof(float) + 2 * sizeof(std::uint64_t);
  const std::uint64_t section_rows =
      std::min<std::uint64_t>(schemas::block_rows_max, schemas::frame_bytes_max / 2 / row_bytes);
  const std::uint64_t shards = made.schema.shards;
  const std::uint64_t batch_rows_max =
      shards == 1 ? section_rows : std::max(section_rows, section_rows * shards / 2);
  if (features == 0 || batch_samples_max(made.train) * features <= batch_rows_max) return;
  const double fresh_share = 1.0 - made.train.mix_history;
  config.refuse("train.batch_max",
                std::string(fresh_share < 1.0 ? "batch_max with its history" : "batch_max") +
                    " × " + std::to_string(features) + " keys of a sample is more than " +
                    std::to_string(shards) + " shards take at once; accepted here is 1 … " +
                    std::to_string(static_cast<std::uint64_t>(
                        static_cast<double>(batch_rows_max / features) * fresh_share)));
}

void read_durability(config_reader& config, durability_spec& durability) {
  using schemas::log_mode;
  durability.log = config.choice<log_mode>(
      "durability.log",
      "fsync",
      {{"none", log_mode::none}, {"os", log_mode::os}, {"fsync", log_mode::fsync}});
  durability.flush_interval_ms =
      config.duration_ns(
          "durability.flush_interval", durability.flush_interval_ms * ms, {10 * ms, day}) /
      ms;
  durability.keep_log = config.choice<log_retention>(
      "durability.keep_log",
      "needed",
      {{"needed", log_retention::needed}, {"all", log_retention::all}});
  durability.tail_rows_max = static_cast<std::uint64_t>(config.whole(
      "durability.tail_rows", static_cast<std::int64_t>(durability.tail_rows_max), {1, INT64_MAX}));
  durability.tail_bytes_max =
      config.bytes("durability.tail_bytes", durability.tail_bytes_max, {1 << 20, INT64_MAX});
}

void read_limits(config_reader& config, ps::shard_limits& limits) {
  constexpr whole_range any{0, 1'000'000'000'000};
  const auto whole = [&](const char* key) {
    return static_cast<std::uint64_t>(config.whole(key, 0, any));
  };
  limits.quota.rows_per_second = whole("limits.rows_per_second");
  limits.quota.new_rows_per_second = whole("limits.new_rows_per_second");
  limits.quota.bytes_per_second = config.bytes("limits.bytes_per_second", 0, {0, INT64_MAX});
  limits.quarantine.refusals_max = static_cast<std::uint32_t>(
      config.whole("limits.explosions", limits.quarantine.refusals_max, {0, 64}));
}

void read_server(config_reader& config, std::string& listen) {
  listen = config.text("server.listen", listen);
  if (const auto checked = actors::check_listen_endpoint(listen); !checked) {
    config.refuse("server.listen", checked.error().detail);
  }
  if (!listen.starts_with("tcp://")) return;
  const auto port =
      parse_number<std::uint32_t>(std::string_view(listen).substr(listen.rfind(':') + 1));
  if (!port || *port > 65'535)
    config.refuse("server.listen", "the port is a number, 0 (any free one) … 65535");
}

}  // namespace

result<job> parse_job(const std::string& text,
                      const std::string& origin,
                      const std::vector<std::string>& overrides) {
  auto config = config_reader::parse(text, origin, overrides);
  if (!config) return config.error();
  job made;
  made.name =
      config->required_text("job.name", "what this job is called, such as name = \"clicks\"");
  if (!is_plain_name(made.name))
    config->refuse("job.name", "accepted is 1 … 64 letters, digits, _ - and .");
  read_source(*config, made);
  if (auto model = read_model(*config, origin, made); !model) return model.error();
  if (made.model == nullptr) return config->finish().error();
  read_tables(*config, *made.model, made.schema);
  read_train(*config, made.train);
  made.train.push = read_push(*config, *made.model, made.schema);
  check_batch_fits(*config, made);
  made.replay = read_replay(*config, *made.model, made.source);
  check_history(*config, made);
  read_durability(*config, made.durability);
  made.samples = read_samples(*config);
  read_checkpoint(*config, made.checkpoint);
  read_limits(*config, made.limits);
  read_server(*config, made.listen);
  made.telemetry = read_telemetry(*config);
  made.http = read_http_endpoints(*config, made.source, made.listen);
  made.serve = read_serve(*config);
  auto resolved = config->finish();
  if (!resolved) return resolved.error();
  made.text = std::move(*resolved);
  return made;
}

result<job> load_job(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  const auto text = read_text(file, "job file");
  if (!text) return text.error();
  return parse_job(*text, file.string(), overrides);
}

}  // namespace headrace::cli
