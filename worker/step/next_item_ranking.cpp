#include "worker/step/next_item_ranking.hpp"

#include "base/check.hpp"
#include "kernels/ranking/ranking.hpp"
#include "worker/batch/batch_builder.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t cases_at_once = 256;

/// Where list `list` begins among the keys of an event's lists.
std::size_t begin_of(const std::vector<std::uint16_t>& lengths, std::uint32_t list) {
  return std::accumulate(lengths.begin(), lengths.begin() + list, std::size_t{0});
}

}  // namespace

std::optional<next_item_parts> find_next_item(const model_graph& graph) {
  for (const graph_node& node : graph.nodes()) {
    if (node.op != "next_item") continue;
    const graph_node& rows = graph.nodes()[node.inputs[1]];
    next_item_parts parts;
    parts.states = node.inputs[0];
    parts.table = rows.table;
    parts.first_order = rows.body->output.first_order;
    parts.list = *node.list;
    return parts;
  }
  return std::nullopt;
}

next_item_ranking::next_item_ranking(next_item_parts parts, settings how)
    : parts_(parts), how_(how) {
  CHECK(how_.held_out >= 1);
  CHECK(how_.history_max >= 1);
  CHECK(how_.cases_max >= 1);
}

std::uint32_t next_item_ranking::candidate(std::uint64_t key) {
  const auto place =
      places_.try_emplace(key, static_cast<std::uint32_t>(candidates_.size())).first->second;
  if (place == candidates_.size()) candidates_.push_back(key);
  return place;
}

void next_item_ranking::add(const event& whole) {
  CHECK(parts_.list < whole.lengths.size());
  const std::size_t begin = begin_of(whole.lengths, parts_.list);
  const std::size_t length = whole.lengths[parts_.list];
  std::vector<std::uint32_t> ids;
  for (std::size_t i = begin; i < begin + length; ++i)
    ids.push_back(candidate(whole.sequence_keys[i]));
  if (length < how_.held_out + 1) return;
  const std::size_t history = length - how_.held_out;
  test_case one{whole, ids[history], {}};
  const std::size_t older = history > how_.history_max ? history - how_.history_max : 0;
  auto& keys = one.row.sequence_keys;
  const auto at = keys.begin() + static_cast<std::ptrdiff_t>(begin);
  keys.erase(at + static_cast<std::ptrdiff_t>(history), at + static_cast<std::ptrdiff_t>(length));
  keys.erase(at, at + static_cast<std::ptrdiff_t>(older));
  one.row.lengths[parts_.list] = static_cast<std::uint16_t>(history - older);
  ids.resize(history);
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  one.seen = std::move(ids);
  cases_.push_back(std::move(one));
}

// The vectors of all candidates, [candidates, dim].
result<void> next_item_ranking::read_items(batch_scorer& scorer, std::vector<float>& items) const {
  std::vector<std::uint32_t> order(candidates_.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::sort(order, {}, [&](std::uint32_t i) { return candidates_[i]; });
  std::vector<std::uint64_t> keys = candidates_;
  std::ranges::sort(keys);
  std::vector<float> rows;
  if (auto read = scorer.rows(parts_.table, keys, rows); !read) return read;
  const std::size_t width = rows.size() / std::max<std::size_t>(1, keys.size());
  const std::size_t dim = width - parts_.first_order;
  items.resize(keys.size() * dim);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto row = std::span(rows).subspan(i * width + parts_.first_order, dim);
    std::ranges::copy(row, items.begin() + static_cast<std::ptrdiff_t>(order[i] * dim));
  }
  return {};
}

schemas::sample_batch next_item_ranking::batch_of(std::span<const test_case* const> cases) const {
  batch_builder builder({.samples_max = static_cast<std::uint32_t>(cases.size())});
  std::optional<schemas::sample_batch> batch;
  for (const test_case* one : cases) batch = builder.add(one->row, 0, 0, 0);
  CHECK(batch.has_value());  // the last one filled it
  return std::move(*batch);
}

// The state of each sample's newest token, [samples, dim]; every list has one.
std::vector<float> next_item_ranking::newest_of(const schemas::sample_batch& batch,
                                                std::span<const float> states) const {
  std::size_t tokens = 0;
  for (std::size_t s = 0; s < batch.samples; ++s)
    tokens += batch.lengths[s * batch.sequences + parts_.list];
  CHECK(tokens > 0);
  const std::size_t dim = states.size() / tokens;
  std::vector<float> newest;
  std::size_t end = 0;
  for (std::size_t s = 0; s < batch.samples; ++s) {
    end += batch.lengths[s * batch.sequences + parts_.list];
    const auto state = states.subspan((end - 1) * dim, dim);
    newest.insert(newest.end(), state.begin(), state.end());
  }
  return newest;
}

result<void> next_item_ranking::rank(batch_scorer& scorer,
                                     ranking_metrics& figures,
                                     const std::function<bool()>& stopped) const {
  const std::size_t taken = std::min(cases_.size(), how_.cases_max);
  if (taken == 0) return {};
  std::vector<float> items;
  if (auto read = read_items(scorer, items); !read) return read;
  const std::size_t dim = items.size() / candidates_.size();
  std::vector<float> workspace(kernels::ranking_workspace(dim));
  std::vector<float> states;
  const std::size_t keys =
      cases_[0].row.keys.size() + how_.history_max * cases_[0].row.lengths.size();
  const std::size_t at_once = std::min(cases_at_once, scorer.samples_max(keys));
  for (std::size_t begin = 0; begin < taken; begin += at_once) {
    if (stopped && stopped()) return error{errc::cancelled, "stopped"};
    std::vector<const test_case*> group;
    for (std::size_t i = begin; i < std::min(taken, begin + at_once); ++i)
      group.push_back(&cases_[i * cases_.size() / taken]);
    const auto batch = batch_of(group);
    if (auto computed = scorer.compute(batch, parts_.states, states); !computed) return computed;
    const std::vector<float> users = newest_of(batch, states);
    std::vector<std::uint32_t> positives;
    std::vector<std::uint32_t> seen;
    std::vector<std::uint32_t> offsets{0};
    for (const test_case* one : group) {
      positives.push_back(one->positive);
      seen.insert(seen.end(), one->seen.begin(), one->seen.end());
      offsets.push_back(static_cast<std::uint32_t>(seen.size()));
    }
    std::vector<double> ranks(group.size());
    kernels::ranking({.x = users,
                      .items = items,
                      .dim = dim,
                      .positives = positives,
                      .excluded = seen,
                      .excluded_offsets = offsets,
                      .ranks = ranks,
                      .workspace = workspace});
    for (const double rank : ranks) figures.add_rank(rank);
  }
  return {};
}

}  // namespace headrace::worker
