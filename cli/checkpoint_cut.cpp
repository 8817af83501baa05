#include "cli/checkpoint_cut.hpp"

#include "cli/sample_log.hpp"
#include "cli/state_manifest.hpp"
#include "ps/recovery/cut_tables.hpp"
#include "ps/shard/durable_shard.hpp"
#include "schemas/hash.hpp"
#include "storage/file_io.hpp"
#include "storage/log_copy.hpp"
#include "storage/segment_log.hpp"

#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

using promised = std::shared_ptr<std::promise<result<lsn>>>;

error gone(shard_id shard) {
  return {errc::unavailable, "shard " + std::to_string(shard.value) + " is being started again"};
}

result<lsn> await(shard_id shard, std::future<result<lsn>>& answer, const cut_parts& of) {
  while (answer.wait_for(100ms) != std::future_status::ready) {
    if (of.cancelled && of.cancelled())
      return error{errc::cancelled, "stopped before the checkpoint was whole"};
  }
  try {
    return answer.get();
  } catch (const std::future_error&) {  // the shard ended before its turn came
    return gone(shard);
  }
}

/// Has every shard do `what` on its own thread, side by side, and waits for the answers.
result<std::vector<lsn>> ask_all(const cut_parts& of,
                                 const std::function<void(ps::durable_shard&, promised)>& what) {
  const std::uint32_t shards = of.described->schema.shards;
  std::vector<std::future<result<lsn>>> answers;
  for (std::uint32_t s = 0; s < shards; ++s) {
    auto promise = std::make_shared<std::promise<result<lsn>>>();
    answers.push_back(promise->get_future());
    const bool there = of.node->visit(
        shard_id{s}, [what, promise](ps::durable_shard& shard) { what(shard, promise); });
    if (!there) return gone(shard_id{s});
  }
  std::vector<lsn> told;
  for (std::uint32_t s = 0; s < shards; ++s) {
    const auto answer = await(shard_id{s}, answers[s], of);
    if (!answer) return answer.error();
    told.push_back(*answer);
  }
  return told;
}

result<void> hold_and_flush(const cut_parts& of) {
  auto held = ask_all(of, [holds = of.holds](ps::durable_shard& shard, const promised& done) {
    const shard_id id = shard.state().id();
    holds->take(id, lsn{shard.state().flushed().value + 1});
    shard.keep_log_from(holds->keep_from(id));
    done->set_value(shard.state().flushed());
  });
  if (!held) return held.error();
  auto flushed = ask_all(of, [](ps::durable_shard& shard, const promised& done) {
    shard.flush_later([done](const result<lsn>& through) { done->set_value(through); });
  });
  if (!flushed) return flushed.error();
  return {};
}

fs::path log_folder(const cut_parts& of, const fs::path& scratch, shard_id shard) {
  return scratch / of.folder->shard_log(shard).lexically_relative(of.folder->root());
}

result<std::vector<lsn>> positions_of(storage::row_store& rows, std::uint32_t shards) {
  std::vector<lsn> positions;
  for (std::uint32_t s = 0; s < shards; ++s) {
    const auto position = rows.position(shard_id{s});
    if (!position) return position.error();
    positions.push_back(position->flushed);
  }
  return positions;
}

/// What is applied now is in every row that was linked, or behind it: the logs up to there make the
/// cut exact.
result<std::vector<lsn>> copy_logs(const cut_parts& of,
                                   const fs::path& scratch,
                                   const std::vector<lsn>& positions) {
  std::vector<fs::path> folders;  // copies: a shard may come to it after this has given up
  for (std::uint32_t s = 0; s < positions.size(); ++s)
    folders.push_back(log_folder(of, scratch, shard_id{s}));
  return ask_all(of, [positions, folders](ps::durable_shard& shard, const promised& done) {
    const std::uint32_t s = shard.state().id().value;
    const lsn through = shard.state().applied();
    auto copied = std::make_shared<result<void>>();
    shard.io().run(
        [copied, log = &shard.log(), after = positions[s], through, folder = folders[s]] {
          *copied = storage::copy_log(*log, after, through, folder);
        },
        [copied, done, through] {
          done->set_value(*copied ? result<lsn>(through) : result<lsn>(copied->error()));
        });
  });
}

result<std::unique_ptr<storage::segment_log>> open_to_read(const fs::path& folder) {
  storage::segment_log::options how;
  how.folder = folder;
  how.read_only = true;
  return storage::segment_log::open(std::move(how));
}

// From the batch that every shard has on: it says where the source goes on, too.
result<void> copy_samples(const cut_parts& of,
                          const fs::path& scratch,
                          const std::vector<storage::archived_checkpoint::watermark>& marks) {
  std::map<std::string, batch_number> sources;
  std::map<std::string, batch_number> dense;
  for (const auto& mark : marks)
    (mark.lane == "rows" ? sources : dense)[mark.source] = mark.batch_min;
  if (of.described->model->has_network()) {
    for (auto& [source, batch] : sources) batch = std::min(batch, dense[source]);
  }
  for (const auto& [source, batch] : sources) {
    const fs::path folder = of.folder->sample_log(source);
    auto log = read_sample_log(*of.described, *of.folder, source);
    if (!log && log.error().code == errc::not_found) continue;  // its worker lives elsewhere
    if (!log) return log.error();
    const auto kept = (*log)->last();
    if (kept.last == lsn{}) continue;
    const lsn first = std::max(kept.first, lsn{std::min(batch.value, kept.last.value)});
    auto copied = storage::copy_log(**log,
                                    lsn{first.value - 1},
                                    kept.last,
                                    scratch / folder.lexically_relative(of.folder->root()));
    if (!copied) return copied;
  }
  return {};
}

result<void> copy_small_file(const fs::path& from, const fs::path& to) {
  const auto text = storage::read_text(from);
  if (!text) return text.error();
  return storage::replace_file(to, *text);
}

/// Opens what was made as a server would: the proof that it can be, and what the manifest says.
result<storage::archived_checkpoint> describe(const cut_parts& of,
                                              const fs::path& scratch,
                                              storage::row_store& rows,
                                              const std::vector<lsn>& positions,
                                              const std::vector<lsn>& cuts) {
  storage::archived_checkpoint about;
  about.job = of.folder->job().name;
  about.fingerprint = of.folder->job().fingerprint;
  schemas::hash128 sum;
  std::vector<std::vector<std::byte>> watermarks;
  for (std::uint32_t s = 0; s < cuts.size(); ++s) {
    const shard_id id{s};
    auto log = open_to_read(log_folder(of, scratch, id));
    if (!log) return log.error();
    auto tables = ps::cut_tables::open(id, of.described->schema, rows, **log, cuts[s]);
    if (!tables) return tables.error();
    if (of.described->checkpoint.digest) {
      const auto digest = tables->digest();
      if (!digest) return digest.error();
      sum += {digest->low, digest->high};
    }
    const auto state = tables->position();
    if (!state) return state.error();
    about.shards.push_back({.id = id,
                            .cut = cuts[s],
                            .flushed = positions[s],
                            .stamp_ms = state->stamp_ms,
                            .version = state->version,
                            .rows = state->rows});
    watermarks.push_back(state->watermarks);
  }
  if (of.described->checkpoint.digest) about.digest = schemas::to_string(sum);
  auto marks = watermarks_of(watermarks);
  if (!marks) return marks.error();
  about.watermarks = std::move(*marks);
  return about;
}

}  // namespace

result<storage::archived_checkpoint> cut_checkpoint(const cut_parts& of, const fs::path& scratch) {
  if (auto made = storage::make_folder(scratch); !made) return made.error();
  if (auto ready = hold_and_flush(of); !ready) return ready.error();
  if (auto linked = of.rows->checkpoint(scratch / "rows"); !linked) return linked.error();
  auto rows = storage::rocks_row_store::open(scratch / "rows", true);
  if (!rows) return rows.error();
  const auto positions = positions_of(**rows, of.described->schema.shards);
  if (!positions) return positions.error();
  const auto cuts = copy_logs(of, scratch, *positions);
  if (!cuts) return cuts.error();
  auto about = describe(of, scratch, **rows, *positions, *cuts);
  if (!about) return about;
  if (auto copied = copy_samples(of, scratch, about->watermarks); !copied) return copied.error();
  for (const char* name : {"JOB", "job.toml"}) {
    if (auto copied = copy_small_file(of.folder->root() / name, scratch / name); !copied)
      return copied.error();
  }
  const auto manifest =
      describe_rows(of.folder->job(), of.described->schema, **rows, of.time->now_ms());
  if (!manifest) return manifest.error();
  if (auto written = storage::write_manifest(scratch / "CHECKPOINT", *manifest); !written)
    return written.error();
  return about;
}

}  // namespace headrace::cli
