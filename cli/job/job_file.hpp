#pragma once

#include "base/result.hpp"
#include "cli/job/checkpoint_section.hpp"
#include "cli/job/live_section.hpp"
#include "cli/job/replay_section.hpp"
#include "cli/job/samples_section.hpp"
#include "cli/job/serve_section.hpp"
#include "cli/job/telemetry_section.hpp"
#include "ps/shard/limits.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"
#include "worker/device/placement.hpp"
#include "worker/ingest/source_spec.hpp"
#include "worker/model/graph_plan.hpp"
#include "worker/model/model_graph.hpp"
#include "worker/model/precision.hpp"
#include "worker/step/push_choice.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace headrace::cli {

/// `[train]`: how batches are cut and how many are under way.
struct train_spec {
  std::uint32_t batch_max = 512;  // samples
  std::uint64_t batch_wait_ns = 20'000'000;
  std::uint32_t in_flight =
      3;  // batches pulled but not acknowledged; 1 = learn before the next predicts
  std::uint64_t staleness_max =
      UINT64_MAX;  // s: batches ahead of the slowest present source; absent = unbounded
  std::uint32_t dense_every = 1;  // batches whose gradients of the network are one push
  worker::device_choice device = worker::device_choice::cpu;  // where the model's steps run
  worker::precision_choice precision = worker::precision_choice::f32;  // of the model's products
  worker::activations activations = worker::activations::keep;         // for the backward pass
  worker::push_spec push;
  double freeze_at = 0.5;             // share of the stream after which the frozen twin is copied
  double mix_history = 0;             // share of a batch's samples that older batches had; 0 = none
  std::uint64_t history_batches = 0;  // of so many batches, the newest; 0 = all that are kept
};

/// What becomes of log records that rows hold: dropped when nobody needs them, or kept for replay
/// and audit.
enum class log_retention : std::uint8_t { needed, all };

/// `[durability]`.
struct durability_spec {
  schemas::log_mode log = schemas::log_mode::fsync;
  std::uint64_t flush_interval_ms = 60'000;
  log_retention keep_log = log_retention::needed;
  std::uint64_t tail_rows_max = 2'000'000;  // of each shard, not yet written back
  std::uint64_t tail_bytes_max = std::uint64_t{128} << 20;
};

/// A job as its TOML file says it, checked: every value in range, every name resolved.
struct job {
  std::string name;
  worker::source_spec source;
  gate_spec gate;                    // of live events
  std::optional<join_section> join;  // of a job whose labels are actions
  std::uint64_t pace_duration_ns =
      0;                   // the whole source in this time, evenly; 0 = as fast as it is read
  std::string model_name;  // of the preset, or the model file
  std::shared_ptr<const worker::model_graph> model;
  schemas::job_schema schema;
  train_spec train;
  samples_spec samples;
  replay_spec replay;
  durability_spec durability;
  checkpoint_spec checkpoint;
  ps::shard_limits limits;
  std::string listen = "tcp://127.0.0.1:7411";  // `[server] listen`
  telemetry_spec telemetry;
  std::vector<std::string> http;  // where a live job answers HTTP: host:port, one or more
  serve_spec serve;
  std::string text;  // the resolved configuration as TOML: what --print-config shows
};

/// Reads and checks a job file. `overrides` are `a.b=value` in TOML's own syntax, bare words taken
/// as strings. Fails: bad_config in one line: file, line, key, value and accepted range; for an
/// unknown key the nearest known one; not_found, io_error and bad_input (a folder) for the file
/// itself.
result<job> load_job(const std::filesystem::path& file, const std::vector<std::string>& overrides);
/// The same from text; `origin` stands for the file in messages.
result<job> parse_job(const std::string& text,
                      const std::string& origin,
                      const std::vector<std::string>& overrides);

}  // namespace headrace::cli
