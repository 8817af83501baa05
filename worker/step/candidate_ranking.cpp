#include "worker/step/candidate_ranking.hpp"

#include "base/check.hpp"
#include "worker/batch/batch_builder.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {
namespace {

/// Every second one, from the first on.
template <class Value>
void thin_out(std::vector<Value>& values) {
  for (std::size_t i = 1; 2 * i < values.size(); ++i) values[i] = std::move(values[2 * i]);
  values.resize((values.size() + 1) / 2);
}

}  // namespace

candidate_ranking::candidate_ranking(settings how) : how_(std::move(how)) {
  CHECK(how_.cases_max >= 1);
}

void candidate_ranking::add(const event& seen) {
  CHECK(how_.feature < seen.keys.size());
  const std::uint64_t key = seen.keys[how_.feature];
  const auto place =
      places_.try_emplace(key, static_cast<std::uint32_t>(candidates_.size())).first->second;
  if (place == candidates_.size()) candidates_.push_back(key);
  if (!how_.by) {
    if (seen.label > 0.5F) keep(seen, place);
    return;
  }
  CHECK(*how_.by < seen.keys.size());
  const auto user = users_.try_emplace(seen.keys[*how_.by], met_.size()).first->second;
  if (user == met_.size()) {
    met_.emplace_back();
    last_.emplace_back();
  }
  met_[user].push_back(place);
  if (seen.label > 0.5F) last_[user] = test_case{seen, place, user};
}

// At most 2 * cases_max - 1 are held: when there are more, every second one goes.
void candidate_ranking::keep(const event& seen, std::uint32_t positive) {
  if (positives_++ % stride_ != 0) return;
  spread_.push_back({seen, positive, 0});
  if (spread_.size() < 2 * how_.cases_max) return;
  thin_out(spread_);
  stride_ *= 2;
}

std::vector<std::uint32_t> candidate_ranking::excluded(const test_case& of) const {
  if (!how_.by) return {};
  std::vector<std::uint32_t> ids = met_[of.user];
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

result<void> candidate_ranking::score(const test_case& of,
                                      batch_scorer& scorer,
                                      std::vector<float>& scores) const {
  const std::size_t keys = of.row.keys.size() + of.row.sequence_keys.size();
  const std::size_t at_once = scorer.samples_max(keys);
  const std::size_t heads = scorer.heads().size();
  batch_builder builder({.samples_max = static_cast<std::uint32_t>(at_once)});
  std::vector<float> part;
  scores.clear();
  event changed = of.row;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    changed.keys[how_.feature] = candidates_[i];
    if (how_.rekey) how_.rekey(changed.keys);
    auto batch = builder.add(changed, 0, 0, 0);
    if (!batch && i + 1 == candidates_.size()) batch = builder.flush();
    if (!batch) continue;
    if (auto scored = scorer.score(*batch, part); !scored) return scored;
    for (std::size_t s = 0; s < batch->samples; ++s) scores.push_back(part[s * heads]);
  }
  return {};
}

result<void> candidate_ranking::rank(batch_scorer& scorer,
                                     ranking_metrics& figures,
                                     const std::function<bool()>& stopped) const {
  std::vector<const test_case*> cases;
  for (const auto& one : last_) {
    if (one) cases.push_back(&*one);
  }
  for (const auto& one : spread_) cases.push_back(&one);
  const std::size_t taken = std::min(cases.size(), how_.cases_max);
  std::vector<float> scores;
  for (std::size_t i = 0; i < taken; ++i) {
    const test_case& one = *cases[i * cases.size() / taken];
    if (stopped && stopped()) return error{errc::cancelled, "stopped"};
    if (auto scored = score(one, scorer, scores); !scored) return scored;
    figures.add(scores, one.positive, excluded(one));
  }
  return {};
}

}  // namespace headrace::worker
