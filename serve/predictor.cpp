#include "serve/predictor.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace headrace::serve {
namespace {

constexpr std::size_t no_request = SIZE_MAX;
constexpr std::size_t lists_max = 1'024;  // tokens of a list that `warm` makes

std::string place_of(std::size_t event, bool shared) {
  if (shared && event == 0) return "user: ";
  return shared ? "candidates[" + std::to_string(event - 1) + "]: "
                : "instances[" + std::to_string(event) + "]: ";
}

// Of a probability in f32: what lies beyond is as far as it tells.

struct batch_size {
  std::uint32_t samples;
  std::size_t tokens;
};

void cut_to(schemas::sample_batch& batch, const batch_size& size) {
  const std::size_t n = size.samples;
  batch.samples = size.samples;
  batch.labels.resize(n * batch.label_count);
  batch.row_numbers.resize(n);
  batch.keys.resize(n * batch.features);
  if (!batch.values.empty()) batch.values.resize(n * batch.features);
  batch.lengths.resize(n * batch.sequences);
  batch.sequence_keys.resize(size.tokens);
}

}  // namespace

predictor::predictor(std::shared_ptr<const served_model> model, std::shared_ptr<const replica> rows)
    : model_(std::move(model)),
      rows_(std::move(rows)),
      scorer_(model_->graph(), [this](std::span<worker::row_set> sets) { return read(sets); }) {
  CHECK(rows_->schema().tables.size() == model_->schema().tables.size());
  for (std::size_t t = 0; t < rows_->schema().tables.size(); ++t)
    CHECK(rows_->schema().tables[t].dim == model_->schema().tables[t].dim);
  begin(batch_);
}

void predictor::begin(schemas::sample_batch& batch) const {
  batch.features = static_cast<std::uint32_t>(model_->keys());
  batch.sequences = static_cast<std::uint32_t>(model_->lists());
  batch.label_count =
      static_cast<std::uint32_t>(std::max<std::size_t>(1, model_->graph()->labels()));
  batch.samples = 0;
  batch.values.clear();
  cut_to(batch, {0, 0});
}

void predictor::append(const worker::event& sample, schemas::sample_batch& batch) {
  batch.keys.insert(batch.keys.end(), sample.keys.begin(), sample.keys.end());
  batch.values.insert(batch.values.end(), sample.values.begin(), sample.values.end());
  batch.lengths.insert(batch.lengths.end(), sample.lengths.begin(), sample.lengths.end());
  batch.sequence_keys.insert(
      batch.sequence_keys.end(), sample.sequence_keys.begin(), sample.sequence_keys.end());
  batch.row_numbers.push_back(batch.samples);
  ++batch.samples;
  batch.labels.resize(std::size_t{batch.samples} * batch.label_count);
}

result<void> predictor::add_to(schemas::sample_batch& batch,
                               const schemas::event_batch& given,
                               bool shared) {
  const auto known = model_->look_up(given);
  if (!known) return known.error();
  const schemas::event_batch& columns = model_->clean(given, *known, cleaned_);
  const std::size_t first = shared ? 1 : 0;
  if (columns.events.size() <= first) return error{errc::bad_input, "there is nothing to predict"};
  const batch_size before{batch.samples, batch.sequence_keys.size()};
  for (std::size_t i = 0; i < columns.events.size(); ++i) {
    const bool is_shared = shared && i == 0;
    worker::event& into = is_shared ? shared_ : sample_;
    const worker::event* const over = shared && !is_shared ? &shared_ : nullptr;
    if (auto parsed = model_->parse(columns, *known, i, over, into); !parsed) {
      cut_to(batch, before);
      return error{parsed.error().code, place_of(i, shared) + parsed.error().detail};
    }
    if (!is_shared) append(sample_, batch);
  }
  return {};
}

result<void> predictor::add(const schemas::event_batch& columns, bool shared) {
  if (model_->next_item()) return add_questions(columns, shared);
  const std::size_t first = batch_.samples;
  if (auto added = add_to(batch_, columns, shared); !added) return added;
  parts_.push_back({first, batch_.samples - first, 0});
  return {};
}

// Questions with the same columns otherwise are of one sample.
result<void> predictor::add_questions(const schemas::event_batch& given, bool shared) {
  const auto known = model_->look_up(given);
  if (!known) return known.error();
  const schemas::event_batch& columns = model_->clean(given, *known, cleaned_);
  if (columns.events.size() <= (shared ? 1U : 0U))
    return error{errc::bad_input, "there is nothing to predict"};
  const batch_size before{batch_.samples, batch_.sequence_keys.size()};
  const std::size_t first = questions_.size();
  const auto refused = [&](std::size_t i, const error& why) {
    cut_to(batch_, before);
    questions_.resize(first);
    return error{why.code, place_of(i, shared) + why.detail};
  };
  worker::event last;
  for (std::size_t i = 0; i < columns.events.size(); ++i) {
    const bool is_shared = shared && i == 0;
    const worker::event* const over = shared && !is_shared ? &shared_ : nullptr;
    auto parsed = model_->parse(columns, *known, i, over, is_shared ? shared_ : sample_);
    if (!parsed) return refused(i, parsed.error());
    if (is_shared) continue;
    const auto item = model_->next_of(columns, i);
    if (!item) return refused(i, item.error());
    if (sample_.lengths[model_->next_item()->list] == 0)
      return refused(i, {errc::bad_input, "the list is empty: there is nothing to go on from"});
    const bool same = questions_.size() > first && sample_.keys == last.keys &&
                      sample_.values == last.values && sample_.lengths == last.lengths &&
                      sample_.sequence_keys == last.sequence_keys;
    if (!same) {
      append(sample_, batch_);
      last = sample_;
    }
    questions_.push_back({batch_.samples - 1, *item});
  }
  parts_.push_back({first, questions_.size() - first, 0});
  question_samples_.push_back({before.samples, batch_.samples - before.samples, 0});
  return {};
}

result<void> predictor::read(std::span<worker::row_set> sets) const {
  for (worker::row_set& set : sets) {
    if (set.keys.empty()) continue;
    if (auto got = rows_->read(set.table, set.keys, set.values, set.absent); !got)
      return got.error();
  }
  return {};
}

// The stamp is taken before any row: what is read is not older than it says. So are parameters that
// are held from when it was the same.
result<void> predictor::score(const schemas::sample_batch& batch,
                              std::vector<float>& probabilities,
                              replica_stamp& stamp) {
  using network = worker::batch_scorer::network;
  stamp = rows_->stamp();
  if (!stamp.whole) return error{errc::unavailable, "the replica does not have all rows yet"};
  const bool kept = has_network_ && network_version_ == stamp.version;
  auto scored = scorer_.score(batch, probabilities, kept ? network::kept : network::read);
  has_network_ = scored.ok();
  network_version_ = stamp.version;
  return scored;
}

result<void> predictor::score_next(std::vector<float>& scores, replica_stamp& stamp) {
  const worker::next_item_parts& parts = *model_->next_item();
  stamp = rows_->stamp();
  if (!stamp.whole) return error{errc::unavailable, "the replica does not have all rows yet"};
  std::vector<float> states;
  if (auto computed = scorer_.compute(batch_, parts.states, states); !computed) return computed;
  has_network_ = false;
  const table_id table{static_cast<std::uint32_t>(parts.table)};
  const std::size_t width = model_->schema().tables[parts.table].dim;
  const std::size_t dim = width - parts.first_order;
  std::vector<std::uint64_t> keys;
  for (const question& each : questions_) keys.push_back(each.item);
  std::vector<float> items(keys.size() * width);
  question_absent_.resize(keys.size());
  if (auto got = rows_->read(table, keys, items, question_absent_); !got) return got.error();
  std::vector<std::size_t> ends;  // of each sample's list among the tokens
  for (std::size_t s = 0; s < batch_.samples; ++s)
    ends.push_back((s > 0 ? ends.back() : 0) + batch_.lengths[s * batch_.sequences + parts.list]);
  scores.clear();
  for (std::size_t q = 0; q < questions_.size(); ++q) {
    const float* const state = states.data() + (ends[questions_[q].sample] - 1) * dim;
    const float* const item = items.data() + q * width + parts.first_order;
    scores.push_back(std::inner_product(state, state + dim, item, 0.0F));
  }
  return {};
}

result<predictions> predictor::predict() {
  predictions made;
  made.requests = std::exchange(parts_, {});
  const bool ranks = model_->next_item().has_value();
  auto scored = ranks ? score_next(made.probabilities, made.stamp)
                      : score(batch_, made.probabilities, made.stamp);
  if (scored) {
    find_unknown(batch_, ranks ? question_samples_ : made.requests);
    for (std::size_t r = 0; ranks && r < made.requests.size(); ++r) {
      const predictions::part& of = made.requests[r];
      for (std::size_t q = of.first; q < of.first + of.samples; ++q)
        if (question_absent_[q] != 0) unknown_.emplace_back(r, questions_[q].item);
    }
    count_unknown(made.requests);
  }
  questions_.clear();
  question_samples_.clear();
  cut_to(batch_, {0, 0});
  if (!scored) return scored.error();
  return made;
}

// Of the batch that was scored last: `of` are some of its samples, by request.
void predictor::find_unknown(const schemas::sample_batch& batch,
                             std::span<const predictions::part> of) {
  unknown_.clear();
  request_of_.assign(batch.samples, no_request);
  for (std::size_t r = 0; r < of.size(); ++r)
    std::fill_n(request_of_.begin() + static_cast<std::ptrdiff_t>(of[r].first), of[r].samples, r);
  const auto tables = model_->graph()->tables();
  for (const worker::row_set& set : scorer_.used()) {
    const worker::model_table& table = tables[set.table.value];
    if (table.network || table.rows > 0) continue;
    if (std::ranges::find(set.absent, 1) == set.absent.end()) continue;
    find_unknown_keys(set, table.features);
    std::size_t token = std::size_t{batch.samples} * set.features;
    for (const std::uint32_t list : table.lists) {
      for (std::size_t s = 0; s < batch.samples; ++s) {
        const std::size_t length = batch.lengths[s * batch.sequences + list];
        for (const std::uint32_t row : std::span(set.inverse).subspan(token, length)) {
          if (set.absent[row] != 0 && request_of_[s] != no_request)
            unknown_.emplace_back(request_of_[s], set.keys[row]);
        }
        token += length;
      }
    }
  }
}

// `features` of a sample have their rows in the set; none: all.
void predictor::find_unknown_keys(const worker::row_set& set,
                                  std::span<const std::uint32_t> features) {
  for (std::size_t s = 0; s < request_of_.size(); ++s) {
    if (request_of_[s] == no_request) continue;
    for (std::size_t f = 0; f < set.features; ++f) {
      const std::uint32_t row = set.inverse[s * set.features + f];
      const std::size_t k = features.empty() ? f : features[f];
      const bool counts = set.absent[row] != 0 && model_->is_id(k);
      if (counts && set.keys[row] != model_->missing_key(k))
        unknown_.emplace_back(request_of_[s], set.keys[row]);
    }
  }
}

void predictor::count_unknown(std::span<predictions::part> of) {
  std::ranges::sort(unknown_);
  unknown_.erase(std::unique(unknown_.begin(), unknown_.end()), unknown_.end());
  for (const auto& [request, key] : unknown_) ++of[request].unknown_ids;
}

result<void> predictor::warm(std::size_t samples) {
  CHECK(batch_.samples == 0);
  const std::size_t lists = model_->lists();
  std::vector<float> probabilities;
  for (const std::size_t size : {std::size_t{1}, std::size_t{65}, std::size_t{257}}) {
    for (std::size_t length = model_->next_item() ? 1 : 0; size <= samples && length <= lists_max;
         length = 4 * length + 1) {
      if (length > 0 && (lists == 0 || length > 1 + worker::graph_model::chunk_tokens / size))
        break;
      model_->nothing(sample_);
      std::ranges::fill(sample_.lengths, static_cast<std::uint16_t>(length));
      sample_.sequence_keys.assign(length * lists, 0);
      for (std::size_t s = 0; s < size; ++s) append(sample_, batch_);
      const auto& ranks = model_->next_item();
      auto scored = ranks ? scorer_.compute(batch_, ranks->states, probabilities)
                          : scorer_.score(batch_, probabilities);
      cut_to(batch_, {0, 0});
      has_network_ = false;
      if (!scored) return scored;
    }
  }
  return {};
}

}  // namespace headrace::serve
