#include "cli/state_eval.hpp"

#include "base/check.hpp"
#include "base/nearest_word.hpp"
#include "cli/job/model_section.hpp"
#include "cli/next_item_cases.hpp"
#include "schemas/pull.hpp"
#include "worker/batch/batch_builder.hpp"
#include "worker/ingest/crossed_source.hpp"
#include "worker/ingest/event_source.hpp"
#include "worker/step/batch_scorer.hpp"
#include "worker/step/candidate_ranking.hpp"
#include "worker/step/next_item_ranking.hpp"

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

namespace headrace::cli {
namespace {

worker::batch_scorer scorer_of(const job& described, const state_version& version) {
  const auto pull = [&version](shard_id shard, const frame& request) {
    const auto section = schemas::decode_pull(request);
    CHECK(section.ok());  // our own
    return version.shards[shard.value]->pull(*section);
  };
  return worker::batch_scorer(described.model, described.schema, pull);
}

/// The key of an event that is that of the id feature that a flag names.
result<std::uint32_t> id_feature(const job& described, const char* flag, const std::string& name) {
  const auto features = keyed_features_of(described.source);
  std::vector<std::string> names;
  for (std::uint32_t f = 0; f < features.size(); ++f) {
    if (features[f].name == name && !features[f].number) return f;
    if (!features[f].number) names.push_back(features[f].name);
  }
  const std::string nearest = nearest_word(name, names);
  return error{errc::bad_config,
               std::string(flag) + " " + name + ": the job has no such feature of ids" +
                   (nearest.empty() ? "" : "; did you mean '" + nearest + "'?")};
}

result<worker::candidate_ranking> ranking_of(const job& described, const eval_order::ranking& how) {
  const auto feature = id_feature(described, "--rank-feature", how.feature);
  if (!feature) return feature.error();
  worker::candidate_ranking::settings settings;
  settings.feature = *feature;
  if (how.cases_max > 0) settings.cases_max = how.cases_max;
  settings.rekey = [crosses = described.source.crosses](std::span<std::uint64_t> keys) {
    worker::write_crosses(crosses, keys);
  };
  if (!how.by.empty()) {
    const auto by = id_feature(described, "--rank-by", how.by);
    if (!by) return by.error();
    if (*by == *feature)
      return error{errc::bad_config, "--rank-by " + how.by + ": name another than --rank-feature"};
    settings.by = *by;
  }
  return worker::candidate_ranking(std::move(settings));
}

/// What comes next in a list is ranked, not a feature.
bool ranks_next(const eval_order& order) { return order.rank && order.rank->feature.empty(); }

result<void> check_next(const job& described, const eval_order::ranking& how) {
  if (!worker::find_next_item(*described.model)) {
    return error{errc::bad_config,
                 "--ranking needs --rank-feature NAME: the model predicts no next id of a list"};
  }
  if (how.by.empty()) return {};
  return error{errc::bad_config, "--rank-by " + how.by + " needs --rank-feature NAME"};
}

result<void> rank_next(const job& described,
                       const eval_order& order,
                       worker::batch_scorer& scorer,
                       evaluation& made) {
  next_item_order which{.held_out = order.rank->held_out, .from = order.from, .to = order.to};
  if (order.rank->cases_max > 0) which.cases_max = order.rank->cases_max;
  const auto cases = read_cases(described, order.source, which);
  if (!cases) return cases.error();
  made.candidates = cases->candidates();
  made.ranking.emplace(order.rank->cutoffs);
  return cases->rank(scorer, *made.ranking, order.stopped);
}

/// Scores batches as they come and keeps the figures of each head.
class scoring {
 public:
  scoring(worker::batch_scorer& scorer, std::uint64_t window)
      : scorer_(scorer), figures_(scorer.heads().size(), worker::windowed_metrics(window)) {}

  result<void> add(const schemas::sample_batch& batch) {
    if (auto scored = scorer_.score(batch, probabilities_); !scored) return scored;
    const auto heads = scorer_.heads();
    for (std::size_t i = 0; i < batch.samples; ++i) {
      for (std::size_t h = 0; h < heads.size(); ++h) {
        figures_[h].add(batch.row_numbers[i],
                        batch.labels[i * batch.label_count + heads[h].label],
                        probabilities_[i * heads.size() + h]);
      }
    }
    return {};
  }
  std::vector<evaluation::head> figures() const {
    std::vector<evaluation::head> made;
    for (std::size_t h = 0; h < figures_.size(); ++h)
      made.push_back({scorer_.heads()[h].name, figures_[h].all(), figures_[h].windows()});
    return made;
  }

 private:
  worker::batch_scorer& scorer_;
  std::vector<worker::windowed_metrics> figures_;
  std::vector<float> probabilities_;
};

/// Keys that a sample of this source has at most, those of its lists included.
std::size_t keys_max(const worker::source_spec& source, std::size_t features) {
  for (const auto& feature : source.features) {
    if (feature.kind == worker::feature_kind::ids) features += feature.list_max;
  }
  return features;
}

}  // namespace

result<void> check_order(const job& described, const eval_order& order) {
  if (described.model->counts()) {
    return error{errc::bad_config, "model count predicts nothing that could be scored"};
  }
  if (order.from >= order.to) {
    return error{errc::bad_config, "--from is a record before --to, counted from 0"};
  }
  if (!order.rank) return {};
  if (ranks_next(order)) return check_next(described, *order.rank);
  const auto ranking = ranking_of(described, *order.rank);
  return ranking ? result<void>() : ranking.error();
}

result<evaluation> evaluate(const job& described,
                            const state_version& version,
                            const eval_order& order) {
  auto source = worker::make_source(order.source);
  if (!source) return source.error();
  if (order.from > 0) {
    if (auto skipped = (*source)->skip(order.from); !skipped) return skipped.error();
  }
  std::optional<worker::candidate_ranking> candidates;
  if (order.rank && !ranks_next(order)) {
    auto ranking = ranking_of(described, *order.rank);
    if (!ranking) return ranking.error();
    candidates.emplace(std::move(*ranking));
  }
  auto scorer = scorer_of(described, version);
  scoring scores(scorer, order.window);
  worker::batch_builder::settings how;
  const std::size_t keys = keys_max(order.source, (*source)->features());
  how.samples_max = static_cast<std::uint32_t>(scorer.samples_max(keys));
  worker::batch_builder builder(how);
  worker::event event;
  while ((*source)->position() < order.to) {
    const auto more = (*source)->next(event);
    if (!more) return more.error();
    if (!*more || event.row_number >= order.to) break;  // bad rows may lie at the end
    if (candidates) candidates->add(event);
    const auto batch = builder.add(event, (*source)->position(), 0, 0);
    if (!batch) continue;
    if (order.stopped && order.stopped()) return error{errc::cancelled, "stopped"};
    if (auto scored = scores.add(*batch); !scored) return scored.error();
  }
  if (const auto rest = builder.flush()) {
    if (auto scored = scores.add(*rest); !scored) return scored.error();
  }
  evaluation made;
  made.version = version.name;
  made.pushes = version.pushes();
  made.rows = version.rows();
  made.bad_rows = (*source)->bad().total();
  made.heads = scores.figures();
  if (made.heads.front().all.samples == 0)
    return error{errc::bad_input, "source '" + order.source.uri + "' has no event there"};
  if (candidates) {
    made.candidates = candidates->candidates();
    made.ranking.emplace(order.rank->cutoffs);
    if (auto ranked = candidates->rank(scorer, *made.ranking, order.stopped); !ranked)
      return ranked.error();
  }
  if (ranks_next(order)) {
    if (auto ranked = rank_next(described, order, scorer, made); !ranked) return ranked.error();
  }
  return made;
}

}  // namespace headrace::cli
