#include "cli/job_file.hpp"

#include "actors/transport/context.hpp"
#include "base/config.hpp"
#include "schemas/wire.hpp"
#include "worker/ingest/time_format.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::uint64_t ms = 1'000'000;  // nanoseconds
constexpr std::uint64_t second = 1'000 * ms;
constexpr std::uint64_t day = 86'400 * second;
constexpr std::int64_t rows_max = 1'000'000'000'000;
constexpr std::size_t name_bytes_max = 64;      // schemas/push.hpp: source_id
constexpr std::size_t separator_bytes_max = 8;  // worker/ingest/source_spec.hpp
constexpr number_range rate_range{0.0, 1000.0};
constexpr number_range accumulator_range{0.0, 1e6};

using worker::label_spec;
using worker::model_arch;

bool is_name(std::string_view text, bool dots) {
  const auto fits = [dots](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || (dots && c == '.');
  };
  return !text.empty() && text.size() <= name_bytes_max && !text.starts_with('.') &&
         std::all_of(text.begin(), text.end(), fits);
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

template <class Number>
std::optional<Number> number_in(std::string_view text) {
  Number value{};
  const char* last = text.data() + text.size();
  const auto [end, failed] = std::from_chars(text.data(), last, value);
  if (failed != std::errc{} || end != last) return std::nullopt;
  return value;
}

// `rating >= 4`: the column may hold spaces, so the comparison is looked for from the right.
std::optional<label_spec> parse_label(std::string_view text) {
  using is = label_spec::comparison;
  constexpr std::array<std::pair<std::string_view, is>, 7> signs{{{"<=", is::less_equal},
                                                                  {">=", is::greater_equal},
                                                                  {"==", is::equal},
                                                                  {"!=", is::not_equal},
                                                                  {"<", is::less},
                                                                  {">", is::greater},
                                                                  {"=", is::equal}}};
  const auto sign_end = text.find_last_of("<>=");
  if (sign_end == std::string_view::npos) return std::nullopt;
  for (const auto& [sign, meaning] : signs) {
    if (!text.substr(0, sign_end + 1).ends_with(sign)) continue;
    const auto column = trimmed(text.substr(0, sign_end + 1 - sign.size()));
    const auto threshold = number_in<double>(trimmed(text.substr(sign_end + 1)));
    const bool two_signs = column.find_last_of("<>=!") == column.size() - 1;
    if (column.empty() || two_signs || !threshold || !std::isfinite(*threshold))
      return std::nullopt;
    return label_spec{std::string(column), meaning, *threshold};
  }
  return std::nullopt;
}

// Where a column may stand, known before the file is opened.
class column_check {
 public:
  column_check(const worker::source_spec& source, config_reader& config)
      : source_(source), config_(config) {}

  void operator()(std::string_view key, const std::string& column) {
    const bool is_number = number_in<std::int64_t>(column).has_value();
    if (column.empty()) return config_.refuse(key, "name a column, or give its number from 1");
    if (is_number && *number_in<std::int64_t>(column) < 1) {
      return config_.refuse(key, "columns are counted from 1");
    }
    if (source_.columns.empty() && source_.header)
      return;  // the header says, when the file is opened
    if (source_.columns.empty() && !is_number) {
      return config_.refuse(
          key,
          "no column has a name: use its number, or give source.columns, or source.header = true");
    }
    if (source_.columns.empty()) return;
    const auto count = static_cast<std::int64_t>(source_.columns.size());
    const bool named =
        std::find(source_.columns.begin(), source_.columns.end(), column) != source_.columns.end();
    if (named || (is_number && *number_in<std::int64_t>(column) <= count)) return;
    const auto near = is_number ? std::string() : nearest_word(column, source_.columns);
    config_.refuse(key,
                   "no such column '" + column + "' among the " + std::to_string(count) +
                       " of source.columns" +
                       (near.empty() ? "" : "; did you mean '" + near + "'?"));
  }

 private:
  const worker::source_spec& source_;
  config_reader& config_;
};

void read_uri(config_reader& config, worker::source_spec& source) {
  source.uri = config.required_text(
      "source.uri", "a file (\"file:///path/to/rows.csv\") or \"generate:planted\"");
  if (source.uri == "generate:planted") source.generate = worker::generator::planted;
  if (source.uri == "generate:planted_drift") source.generate = worker::generator::planted_drift;
  const bool known = source.generate != worker::generator::none ||
                     source.uri.starts_with("file://") ||
                     source.uri.find("://") == std::string::npos;
  const bool wrong_generator =
      source.generate == worker::generator::none && source.uri.starts_with("generate:");
  if (!known || wrong_generator) {
    config.refuse("source.uri",
                  "accepted is file:///path, a path, generate:planted | generate:planted_drift");
  }
}

void read_layout(config_reader& config, worker::source_spec& source) {
  const auto comma_or_tab =
      config.choice<const char*>("source.format", "csv", {{"csv", ","}, {"tsv", "\t"}});
  source.separator = config.text("source.separator", comma_or_tab);
  if (source.separator == "tab" || source.separator == "\\t")
    source.separator = "\t";  // from a shell
  if (source.separator.empty() || source.separator.size() > separator_bytes_max ||
      source.separator.find_first_of("\r\n\"") != std::string::npos) {
    config.refuse(
        "source.separator",
        "accepted is 1 … 8 bytes without quotes and line ends, such as \",\" \"\\t\" \"::\"");
  }
  source.header = config.flag("source.header", true);
  source.quotes = config.flag("source.quotes", source.separator == ",");
  source.columns = config.list("source.columns");
  for (const auto& column : source.columns) {
    if (std::count(source.columns.begin(), source.columns.end(), column) > 1) {
      config.refuse("source.columns", "'" + column + "' is there twice");
    }
  }
  source.bad_rows_max =
      static_cast<std::uint64_t>(config.whole("source.max_bad_rows", 100, {0, rows_max}));
  source.row_bytes_max = config.bytes("source.max_row_bytes", 65'536, {64, 64 << 20});
}

void read_time(config_reader& config, worker::source_spec& source, column_check& check) {
  source.time_column = config.text_or_whole("source.time", "");
  source.time_format = config.text("source.time_format", "unix");
  source.sort_by_time =
      config.choice<bool>("source.sort", "none", {{"none", false}, {"time", true}});
  if (!source.time_column.empty()) check("source.time", source.time_column);
  if (const auto format = worker::time_format::parse(source.time_format); !format) {
    config.refuse("source.time_format", format.error().detail);
  }
  if (source.sort_by_time && source.time_column.empty()) {
    config.refuse("source.sort", "needs source.time, the column to sort by");
  }
}

void read_label(config_reader& config, worker::source_spec& source, column_check& check) {
  const std::string text = config.text("source.label", "");
  if (text.empty()) {
    if (source.generate == worker::generator::none) {
      config.refuse("source.label", "a comparison is needed, such as \"rating >= 4\"");
    }
    return;
  }
  const auto label = parse_label(text);
  if (!label) {
    return config.refuse(
        "source.label",
        "accepted is a comparison COLUMN < <= == != >= > NUMBER, such as \"rating >= 4\"");
  }
  source.label = *label;
  check("source.label", label->column);
}

void read_transforms(config_reader& config,
                     const std::string& section,
                     worker::feature_spec& feature) {
  const std::string key = section + ".transform";
  for (const auto& word : config.list(key)) {
    if (word == "log1p") feature.transforms.push_back(worker::transform::log1p);
    if (word == "bucket") feature.transforms.push_back(worker::transform::bucket);
    if (word != "log1p" && word != "bucket")
      config.refuse(key, "accepted is \"log1p\" | \"bucket\", or a list of them");
  }
  const auto& all = feature.transforms;
  const auto buckets = std::count(all.begin(), all.end(), worker::transform::bucket);
  if (!all.empty() && feature.kind == worker::feature_kind::id)
    config.refuse(key, "needs kind = \"float\"");
  if (buckets > 1 || (buckets == 1 && all.back() != worker::transform::bucket)) {
    config.refuse(key, "\"bucket\" goes last, once");
  }
  // Read only where it counts, so that the resolved text is accepted again.
  const std::string width = section + ".bucket_width";
  if (buckets > 0 || config.has(width))
    feature.bucket_width = config.number(width, 1.0, {0.0, 1e12, true});
  if (buckets == 0 && config.has(width)) config.refuse(width, "needs transform = \"bucket\"");
}

worker::feature_spec read_feature(config_reader& config,
                                  const std::string& name,
                                  column_check& check) {
  const std::string section = "features." + name;
  worker::feature_spec feature;
  feature.name = name;
  feature.kind = config.choice<worker::feature_kind>(
      section + ".kind",
      "id",
      {{"id", worker::feature_kind::id}, {"float", worker::feature_kind::float_value}});
  feature.column = config.text_or_whole(section + ".column", name);
  check(section + ".column", feature.column);
  feature.salt = config.text(section + ".salt", name);
  if (feature.salt.empty()) config.refuse(section + ".salt", "accepted is text that is not empty");
  read_transforms(config, section, feature);
  return feature;
}

// A generated stream makes its own features and label; those of the file are checked but not used.
void read_features(config_reader& config, worker::source_spec& source, column_check& check) {
  for (const auto& name : config.sections("features")) {
    if (!is_name(name, false)) {
      config.refuse(
          "features",
          "feature '" + name +
              "': accepted is a name of letters, digits, _ and -; the column goes into column");
      continue;
    }
    source.features.push_back(read_feature(config, name, check));
  }
  const bool generated = source.generate != worker::generator::none;
  if (source.features.empty() && !generated) {
    config.refuse(
        "features",
        "at least one is needed: a section [features.NAME] for each column the model reads");
  }
  if (generated) source.features.clear();
}

void read_source(config_reader& config, job& made) {
  worker::source_spec& source = made.source;
  source.name = config.text("source.name", "events");
  if (!is_name(source.name, true)) {
    config.refuse("source.name", "accepted is 1 … 64 letters, digits, _ - and .");
  }
  read_uri(config, source);
  source.rows = static_cast<std::uint64_t>(config.whole("source.rows", 1'000'000, {1, rows_max}));
  source.seed = static_cast<std::uint64_t>(config.whole("source.seed", 20'240'601, {0, INT64_MAX}));
  made.pace_duration_ns = config.duration_ns("source.duration", 0, {0, 30 * day});
  read_layout(config, source);
  column_check check(source, config);
  read_label(config, source, check);
  read_time(config, source, check);
  read_features(config, source, check);
}

void read_model(config_reader& config, worker::model_spec& model) {
  model.arch = config.choice<model_arch>(
      "model.arch",
      "fm",
      {{"lr", model_arch::lr}, {"fm", model_arch::fm}, {"count", model_arch::count}});
  const bool has_latent = model.arch == model_arch::fm;
  const auto dim = config.whole("model.dim", has_latent ? 8 : 0, {has_latent ? 1 : 0, 1023});
  model.dim = has_latent ? static_cast<std::uint32_t>(dim) : 0;  // lr and count have no use for it
}

schemas::optimizer_kind read_optimizer_kind(config_reader& config,
                                            const std::string& key,
                                            model_arch arch) {
  using schemas::optimizer_kind;
  if (arch == model_arch::count)
    return config.choice<optimizer_kind>(key, "add", {{"add", optimizer_kind::add}});
  return config.choice<optimizer_kind>(
      key, "adagrad", {{"adagrad", optimizer_kind::adagrad}, {"sgd", optimizer_kind::sgd}});
}

float read_float(config_reader& config,
                 const std::string& key,
                 float fallback,
                 number_range accepted) {
  // The shortest digits of the float, so that 0.05F is resolved as 0.05.
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), fallback).ptr;
  const auto shortest =
      number_in<double>({digits.data(), static_cast<std::size_t>(end - digits.data())});
  return static_cast<float>(config.number(key, shortest.value_or(0.0), accepted));
}

schemas::table_spec read_table(config_reader& config, const std::string& name, model_arch arch) {
  const std::string section = "tables." + name + ".optimizer.";
  schemas::table_spec table;
  table.name = name;
  auto& optimizer = table.optimizer;
  optimizer.kind = read_optimizer_kind(config, section + "kind", arch);
  optimizer.rate = read_float(config, section + "lr", optimizer.rate, rate_range);
  optimizer.initial_accumulator = read_float(
      config, section + "initial_accumulator", optimizer.initial_accumulator, accumulator_range);
  optimizer.first_rate = optimizer.rate;
  optimizer.first_initial_accumulator = optimizer.initial_accumulator;
  optimizer.l2 = read_float(config, section + "l2", 0.0F, {0.0, 10.0});
  optimizer.gradient_clip = read_float(config, section + "clip", 0.0F, {0.0, 1e6});
  return table;
}

schemas::table_spec read_embedding(config_reader& config, const worker::model_spec& model) {
  constexpr float latent_scale = 0.01F;  // latent vectors of 0 would never learn
  schemas::table_spec table = read_table(config, "embedding", model.arch);
  table.id = model.embedding;
  table.dim = 1 + model.dim;
  auto& optimizer = table.optimizer;
  const std::string section = "tables.embedding.optimizer.";
  optimizer.first_rate = read_float(config, section + "first_lr", optimizer.rate, rate_range);
  optimizer.first_initial_accumulator = read_float(config,
                                                   section + "first_initial_accumulator",
                                                   optimizer.initial_accumulator,
                                                   accumulator_range);
  optimizer.first_order_columns = model.arch == model_arch::count ? 0 : 1;
  const float scale = model.arch == model_arch::fm ? latent_scale : 0.0F;
  table.init.scale = read_float(config, "tables.embedding.init.scale", scale, {0.0, 100.0});
  table.init.seed =
      static_cast<std::uint64_t>(config.whole("tables.embedding.init.seed", 1, {0, INT64_MAX}));
  if (model.arch == model_arch::count) table.init.scale = 0.0F;  // a count starts at 0
  return table;
}

void read_schema(config_reader& config, job& made) {
  made.schema.shards = static_cast<std::uint32_t>(config.whole("shards.count", 4, {1, 1024}));
  schemas::table_spec embedding = read_embedding(config, made.model);
  schemas::table_spec bias = read_table(config, "bias", made.model.arch);
  bias.id = made.model.bias;
  made.schema.tables = {std::move(embedding), std::move(bias)};
}

void read_train(config_reader& config, model_arch arch, train_spec& train) {
  using schemas::value_codec;
  train.batch_max =
      static_cast<std::uint32_t>(config.whole("train.batch_max", train.batch_max, {1, 65'536}));
  train.batch_wait_ns =
      config.duration_ns("train.batch_wait", train.batch_wait_ns, {0, 60 * second});
  train.in_flight =
      static_cast<std::uint32_t>(config.whole("train.in_flight", train.in_flight, {1, 256}));
  const auto staleness = config.optional_whole("train.staleness", {0, 1'000'000'000});
  if (staleness) train.staleness_max = static_cast<std::uint64_t>(*staleness);
  train.push =
      arch == model_arch::count  // int8 would round counts
          ? config.choice<value_codec>("train.push", "fp32", {{"fp32", value_codec::fp32}})
          : config.choice<value_codec>(
                "train.push", "int8", {{"int8", value_codec::int8}, {"fp32", value_codec::fp32}});
  train.freeze_at = config.number("train.freeze_at", train.freeze_at, {0.0, 1.0});
}

// A batch's rows of one shard travel as one section, which is bounded in rows and bytes. Keys
// spread evenly over the shards, so half of the bound leaves room for chance.
void check_batch_fits(config_reader& config, const job& made) {
  constexpr std::uint64_t planted_features = 39;
  const bool generated = made.source.generate != worker::generator::none;
  const std::uint64_t features = generated ? planted_features : made.source.features.size();
  const std::uint64_t row_bytes =
      made.schema.tables[0].dim * sizeof(float) + 2 * sizeof(std::uint64_t);
  const std::uint64_t section_rows =
      std::min<std::uint64_t>(schemas::block_rows_max, schemas::frame_bytes_max / 2 / row_bytes);
  const std::uint64_t shards = made.schema.shards;
  const std::uint64_t batch_rows_max =
      shards == 1 ? section_rows : std::max(section_rows, section_rows * shards / 2);
  if (features == 0 || made.train.batch_max * features <= batch_rows_max) return;
  config.refuse("train.batch_max",
                "batch_max × " + std::to_string(features) + " features is more than " +
                    std::to_string(shards) + " shards take at once; accepted here is 1 … " +
                    std::to_string(batch_rows_max / features));
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
}

void read_server(config_reader& config, std::string& listen) {
  listen = config.text("server.listen", listen);
  if (const auto checked = actors::check_listen_endpoint(listen); !checked) {
    config.refuse("server.listen", checked.error().detail);
  }
  if (!listen.starts_with("tcp://")) return;
  const auto port =
      number_in<std::uint32_t>(std::string_view(listen).substr(listen.rfind(':') + 1));
  if (!port || *port > 65'535)
    config.refuse("server.listen", "the port is a number, 0 (any free one) … 65535");
}

result<std::string> read_text(const std::filesystem::path& file) {
  std::error_code failure;
  if (std::filesystem::is_directory(file, failure)) {
    return error{errc::bad_input, "job file '" + file.string() + "' is a folder"};
  }
  std::ifstream in(file, std::ios::binary);
  if (!in) {
    const errc code = errno == ENOENT ? errc::not_found : errc::io_error;
    return error{code, "cannot open job file '" + file.string() + "': " + std::strerror(errno)};
  }
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
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
  if (!is_name(made.name, true))
    config->refuse("job.name", "accepted is 1 … 64 letters, digits, _ - and .");
  read_source(*config, made);
  read_model(*config, made.model);
  read_schema(*config, made);
  read_train(*config, made.model.arch, made.train);
  check_batch_fits(*config, made);
  read_durability(*config, made.durability);
  read_server(*config, made.listen);
  auto resolved = config->finish();
  if (!resolved) return resolved.error();
  made.text = std::move(*resolved);
  return made;
}

result<job> load_job(const std::filesystem::path& file, const std::vector<std::string>& overrides) {
  const auto text = read_text(file);
  if (!text) return text.error();
  return parse_job(*text, file.string(), overrides);
}

}  // namespace headrace::cli
