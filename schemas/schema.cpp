#include "schemas/schema.hpp"

#include "schemas/hash.hpp"

#include <bit>
#include <span>

namespace headrace::schemas {

namespace {

/// Text in which no two schemas look alike: each field is named, strings carry their length and
/// floats their bits, so neither locale nor rounding matters.
class canonical_text {
 public:
  void add(const char* field, std::uint64_t value) {
    text_ += field;
    text_ += '=';
    text_ += std::to_string(value);
    text_ += '\n';
  }
  void add(const char* field, const std::string& value) {
    add(field, value.size());
    text_ += value;
    text_ += '\n';
  }
  void add(const char* field, float value) {
    add(field, std::uint64_t{std::bit_cast<std::uint32_t>(value)});
  }
  std::uint64_t hash() const { return hash64(std::as_bytes(std::span(text_))); }

 private:
  std::string text_ = "headrace job 1\n";
};

/// Fields that came after the first state folders: named only where they are not what those had, so
/// that an old folder still belongs to its job.
void add_later_fields(canonical_text& text, const table_spec& table) {
  const optimizer_spec& optimizer = table.optimizer;
  const optimizer_spec usual;
  const auto add = [&](const char* field, auto value, auto unless) {
    if (value != unless) text.add(field, value);
  };
  add("momentum", optimizer.momentum, usual.momentum);
  add("beta1", optimizer.beta1, usual.beta1);
  add("beta2", optimizer.beta2, usual.beta2);
  add("weight_decay", optimizer.weight_decay, usual.weight_decay);
  add("ftrl_l1", optimizer.ftrl_l1, usual.ftrl_l1);
  add("ftrl_l2", optimizer.ftrl_l2, usual.ftrl_l2);
  add("ftrl_beta", optimizer.ftrl_beta, usual.ftrl_beta);
  add("schedule", static_cast<std::uint64_t>(optimizer.schedule.kind), std::uint64_t{0});
  add("warmup_batches", optimizer.schedule.warmup_batches, std::uint64_t{0});
  add("total_batches", optimizer.schedule.total_batches, std::uint64_t{0});
  add("rate_floor", optimizer.schedule.floor, 0.0F);
  add("stored", static_cast<std::uint64_t>(table.stored), std::uint64_t{0});
  add("admission_count", std::uint64_t{table.admission.count}, std::uint64_t{1});
  add("admission_window", table.admission.window_ms, std::uint64_t{0});
  add("admission_probability", table.admission.probability, 1.0F);
  add("admission_rate", table.admission.rows_per_second, std::uint64_t{0});
  add("ttl", table.expiry.ttl_ms, std::uint64_t{0});
  add("min_rows", table.expiry.min_rows, std::uint64_t{0});
  add("expiry_rate", table.expiry.rows_per_second, std::uint64_t{0});
}

void add_table(canonical_text& text, const table_spec& table) {
  text.add("table", std::uint64_t{table.id.value});
  text.add("name", table.name);
  text.add("dim", std::uint64_t{table.dim});
  text.add("optimizer", static_cast<std::uint64_t>(table.optimizer.kind));
  text.add("rate", table.optimizer.rate);
  text.add("initial_accumulator", table.optimizer.initial_accumulator);
  text.add("first_rate", table.optimizer.first_rate);
  text.add("first_initial_accumulator", table.optimizer.first_initial_accumulator);
  text.add("first_order_columns", std::uint64_t{table.optimizer.first_order_columns});
  text.add("l2", table.optimizer.l2);
  text.add("gradient_clip", table.optimizer.gradient_clip);
  text.add("init_seed", table.init.seed);
  text.add("init_scale", table.init.scale);
  add_later_fields(text, table);
}

}  // namespace

std::string_view name(optimizer_kind kind) {
  switch (kind) {
    case optimizer_kind::add:
      return "add";
    case optimizer_kind::sgd:
      return "sgd";
    case optimizer_kind::adagrad:
      return "adagrad";
    case optimizer_kind::momentum:
      return "momentum";
    case optimizer_kind::rowwise_adagrad:
      return "rowwise_adagrad";
    case optimizer_kind::adam:
      return "adam";
    case optimizer_kind::adamw:
      return "adamw";
    case optimizer_kind::ftrl:
      return "ftrl";
  }
  return "unknown";
}

std::uint64_t fingerprint(const std::string& job_name, const job_schema& schema) {
  canonical_text text;
  text.add("job", job_name);
  text.add("version", std::uint64_t{schema.version});
  text.add("shards", std::uint64_t{schema.shards});
  for (const table_spec& table : schema.tables) add_table(text, table);
  return text.hash();
}

}  // namespace headrace::schemas
