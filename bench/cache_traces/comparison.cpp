#include "bench/cache_traces/comparison.hpp"

#include "worker/prefetch/lstm_prefetch.hpp"
#include "worker/prefetch/succession_memory.hpp"

#include <algorithm>
#include <chrono>
#include <limits>

namespace headrace::bench {
namespace {

constexpr std::uint64_t seed = 42;

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

std::size_t entries_of(const key_stream& stream, double share) {
  return std::max<std::size_t>(
      1, static_cast<std::size_t>(share * static_cast<double>(stream.distinct)));
}

policy_result measure(ps::cache_policy_kind kind, const key_stream& stream, std::size_t entries) {
  const auto policy = ps::make_cache_policy(kind, entries, seed);
  std::size_t hits = 0;
  const auto began = std::chrono::steady_clock::now();
  for (std::size_t i = 0; i < stream.keys.size(); ++i) {
    const bool hit = policy->access(stream.keys[i]);
    hits += hit && i >= stream.warm_up ? 1 : 0;
  }
  const auto uses = static_cast<double>(stream.keys.size());
  const auto counted = static_cast<double>(stream.keys.size() - stream.warm_up);
  return {kind,
          static_cast<double>(hits) / counted,
          seconds_since(began) / uses * 1e9,
          static_cast<double>(policy->bytes()) / static_cast<double>(entries)};
}

/// The succession memory without a model: never switched off.
worker::prefetch_trial::figures without_model(const key_stream& stream,
                                              std::size_t entries,
                                              std::size_t batch,
                                              std::size_t proposals_max) {
  worker::prefetch_trial::settings given;
  given.rows = entries;
  given.gain_min = -std::numeric_limits<double>::infinity();
  given.useful_min = 0;
  worker::prefetch_trial trial(given);
  worker::succession_memory memory(worker::lstm_predictor::settings{}.remembered, seed);
  std::vector<worker::succession_memory::proposal> proposals;
  std::vector<std::uint64_t> wanted;
  for (std::size_t i = 0; i < stream.keys.size(); ++i) {
    trial.use(stream.keys[i]);
    if (i > 0) memory.record(stream.keys[i - 1], stream.keys[i]);
    proposals.clear();
    memory.propose(stream.keys[i], proposals);
    proposals.resize(std::min(proposals.size(), proposals_max));
    for (const auto& each : proposals) wanted.push_back(each.key);
    if ((i + 1) % batch != 0) continue;
    for (const auto key : wanted) {
      if (!trial.holds(key)) trial.fetch(key);
    }
    wanted.clear();
  }
  return trial.all();
}

}  // namespace

policy_point compare_policies(const key_stream& stream, double share) {
  policy_point point{
      stream.name, share, entries_of(stream, share), stream.keys.size() - stream.warm_up, {}};
  for (const auto kind : ps::cache_policy_kinds)
    point.results.push_back(measure(kind, stream, point.entries));
  return point;
}

prefetch_point compare_prefetch(const key_stream& stream, double share, std::size_t batch) {
  prefetch_point point{stream.name, share, entries_of(stream, share), batch, {}, {}, {}, {}, 0, {}};
  worker::lstm_prefetch::settings given;
  given.trial.rows = point.entries;
  given.predictor.seed = seed;
  worker::lstm_prefetch lstm(given);
  std::vector<std::uint64_t> wanted;
  const std::span<const std::uint64_t> keys = stream.keys;
  const auto began = std::chrono::steady_clock::now();
  for (std::size_t at = 0; at < keys.size(); at += batch) {
    lstm.observe(keys.subspan(at, std::min(batch, keys.size() - at)));
    lstm.predict(std::numeric_limits<std::size_t>::max(), wanted);
  }
  point.us_per_key = seconds_since(began) / static_cast<double>(keys.size()) * 1e6;
  point.lstm = lstm.trial().all();
  point.while_on = lstm.trial().while_on();
  point.report = lstm.report();
  point.proposals = without_model(stream, point.entries, batch, keys.size());
  point.latest = without_model(stream, point.entries, batch, 1);
  return point;
}

}  // namespace headrace::bench
