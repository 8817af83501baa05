#include "worker/step/frozen_twin.hpp"

#include "base/check.hpp"
#include "tests/fuzz/fuzz.hpp"

/// The frozen twin that a worker keeps between runs. What loads saves to something that loads the
/// same.
namespace {

using namespace headrace;

schemas::job_schema two_tables() {
  schemas::job_schema schema;
  schema.shards = 4;
  for (std::uint32_t i = 0; i < 2; ++i) {
    schemas::table_spec table;
    table.id = table_id{i};
    table.name = i == 0 ? "embedding" : "bias";
    table.dim = i == 0 ? 3 : 1;
    schema.tables.push_back(table);
  }
  return schema;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const schemas::job_schema schema = two_tables();
  const auto bytes = std::as_bytes(std::span(data, size));
  worker::frozen_twin twin(schema);
  if (const auto loaded = twin.load(bytes); loaded) {
    const auto saved = twin.save();
    worker::frozen_twin again(schema);
    CHECK(again.load(saved).ok());
    CHECK(again.save() == saved);
  } else {
    CHECK(loaded.error().code == errc::corrupt);
  }
  return 0;
}
