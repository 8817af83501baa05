#include "cli/state_manifest.hpp"

#include "ps/shard/push_rule.hpp"
#include "schemas/push.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>

namespace headrace::cli {
namespace {

struct range {
  batch_number min{UINT64_MAX};
  batch_number max;
  std::size_t shards = 0;
};

}  // namespace

result<std::vector<storage::checkpoint_manifest::watermark>> watermarks_of(
    std::span<const std::vector<std::byte>> saved) {
  std::map<std::pair<std::string, std::string>, range> found;
  for (const std::vector<std::byte>& one : saved) {
    if (one.empty()) continue;
    ps::push_rule rule;
    if (auto loaded = rule.load(one); !loaded) return loaded.error();
    rule.visit([&](const schemas::source_id& source, schemas::lane lane, batch_number batch) {
      if (batch == batch_number{}) return;
      range& of =
          found[{schemas::to_string(source), lane == schemas::lane::rows ? "rows" : "dense"}];
      of.min = std::min(of.min, batch);
      of.max = std::max(of.max, batch);
      ++of.shards;
    });
  }
  std::vector<storage::checkpoint_manifest::watermark> marks;
  for (const auto& [chain, of] : found) {
    const batch_number min = of.shards < saved.size() ? batch_number{} : of.min;
    marks.push_back({chain.first, chain.second, min, of.max});
  }
  return marks;
}

result<storage::checkpoint_manifest> describe_rows(const storage::job_identity& job,
                                                   const schemas::job_schema& schema,
                                                   storage::row_store& rows,
                                                   std::uint64_t now_ms) {
  storage::checkpoint_manifest manifest;
  manifest.job = job.name;
  manifest.fingerprint = job.fingerprint;
  manifest.schema_version = schema.version;
  manifest.written_ms = now_ms;
  std::vector<std::vector<std::byte>> watermarks;
  for (std::uint32_t s = 0; s < schema.shards; ++s) {
    const auto position = rows.position(shard_id{s});
    if (!position) return position.error();
    auto& shard = manifest.shards.emplace_back();
    shard.id = shard_id{s};
    watermarks.emplace_back();
    if (position->flushed == lsn{}) continue;
    const auto state = ps::decode_position_state(position->state, shard_id{s});
    if (!state) return state.error();
    shard.flushed = position->flushed;
    shard.epoch = position->epoch;
    shard.version = state->version;
    shard.rows = state->rows;
    watermarks.back() = state->watermarks;
  }
  auto marks = watermarks_of(watermarks);
  if (!marks) return marks.error();
  manifest.watermarks = std::move(*marks);
  return manifest;
}

}  // namespace headrace::cli
