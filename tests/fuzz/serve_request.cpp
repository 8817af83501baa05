#include "serve/request_json.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "worker/model/presets.hpp"

#include <memory>
#include <string_view>

/// A text that somebody asks predictions, an explanation or rows with: whatever it is, it is
/// refused with a reason, or its columns are samples of the model within the bound, or refused by
/// name.
namespace {

using namespace headrace;

constexpr std::size_t samples_max = 8;

std::shared_ptr<const serve::served_model> model() {
  serve::served_model::parts parts;
  parts.name = "fuzz";
  worker::feature_spec user;
  user.name = "user";
  worker::feature_spec price;
  price.name = "price";
  price.kind = worker::feature_kind::float_value;
  worker::feature_spec seen;
  seen.name = "seen";
  seen.kind = worker::feature_kind::ids;
  seen.list_max = 4;
  worker::feature_spec item;
  item.name = "item";
  parts.source.features = {user, price, seen, item};
  parts.source.crosses = {{"both", "", {0, 2}}};
  const std::vector<worker::model_feature> features = {
      {"user"}, {"price", true}, {"seen", false, 4}, {"item"}, {"both"}};
  auto graph = worker::load_preset("lr", features);
  CHECK(graph.ok());
  parts.graph = std::make_shared<const worker::model_graph>(std::move(*graph));
  for (const auto& table : parts.graph->tables()) {
    schemas::table_spec spec;
    spec.id = table_id{static_cast<std::uint32_t>(parts.schema.tables.size())};
    spec.name = table.name;
    spec.dim = static_cast<std::uint32_t>(table.dim);
    parts.schema.tables.push_back(spec);
  }
  const auto made = serve::served_model::make(std::move(parts));
  CHECK(made.ok());
  return *made;
}

void check_columns(const serve::served_model& of, const schemas::event_batch& columns) {
  CHECK(columns.events.size() <= samples_max + 1);
  const auto known = of.look_up(columns);
  if (!known) {
    CHECK(!known.error().detail.empty());
    return;
  }
  worker::event shared;
  worker::event sample;
  for (std::size_t i = 0; i < columns.events.size(); ++i) {
    const auto parsed =
        of.parse(columns, *known, i, i > 0 && !shared.keys.empty() ? &shared : nullptr, sample);
    if (!parsed) {
      CHECK(!parsed.error().detail.empty());
      continue;
    }
    CHECK(sample.keys.size() == of.keys());
    CHECK(sample.lengths.size() == of.lists());
    CHECK(sample.values.empty() || sample.values.size() == of.keys());
    std::size_t tokens = 0;
    for (const auto length : sample.lengths) tokens += length;
    CHECK(sample.sequence_keys.size() == tokens);
    if (i == 0) shared = sample;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const auto of = model();
  static serve::request_json reader(*of, samples_max);
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto done = [&](const auto& read) {
    if (!read) {
      CHECK(!read.error().detail.empty());
    } else {
      check_columns(*of, reader.columns());
    }
  };
  switch (data[0] % 4) {
    case 0:
      done(reader.predict(text));
      break;
    case 1:
      done(reader.explain(text));
      break;
    case 2:
      done(reader.infer(text));
      break;
    default:
      done(reader.lookup(text));
  }
  return 0;
}
