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
