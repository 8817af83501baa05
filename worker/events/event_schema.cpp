#include "worker/events/event_schema.hpp"

#include "base/byte_io.hpp"
#include "base/parse_number.hpp"
#include "schemas/hash.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

namespace headrace::worker {
namespace {

using schemas::event_batch;

std::uint64_t fingerprint_of(const std::vector<feature_spec>& features,
                             const std::vector<std::string>& actions) {
  byte_writer all;
  for (const std::string& action : actions) all.text(action);
  for (const feature_spec& feature : features) {
    for (const std::string* text :
         {&feature.name, &feature.column, &feature.salt, &feature.list_separator})
      all.text(*text);
    all.number(feature.kind);
    for (const transform each : feature.transforms) all.number(each);
    all.number(feature.bucket_width);
    all.number(feature.list_max);
    all.number(feature.list_held_out);
  }
  return schemas::hash64(all.take());
}

}  // namespace

result<std::size_t> event_schema::column_of(const std::string& column, const std::string& use) {
  if (parse_number<std::int64_t>(column)) {
    return error{errc::bad_config,
                 "column " + column + " for " + use +
                     " is a number: live events have names, no places; give the column's name"};
  }
  const auto hit = std::find(columns_.begin(), columns_.end(), column);
  const auto place = static_cast<std::size_t>(hit - columns_.begin());
  if (hit == columns_.end()) columns_.push_back(column);
  return place;
}

result<event_schema> event_schema::bind(const source_spec& source,
                                        const std::vector<std::string>& actions) {
  event_schema made;
  made.actions_ = actions;
  made.fingerprint_ = fingerprint_of(source.features, actions);
  for (const std::string& action : actions) {
    if (std::count(actions.begin(), actions.end(), action) > 1)
      return error{errc::bad_config, "action '" + action + "' is there twice"};
  }
  if (actions.empty()) {
    made.labels_.push_back({source.label});
    for (const label_spec& more : source.more_labels) made.labels_.push_back({more});
  }
  for (bound_label& label : made.labels_) {
    auto column = made.column_of(label.spec.column, "the label");
    if (!column) return column.error();
    label.column = *column;
  }
  if (auto bound = made.bind_features(source.features); !bound) return bound.error();
  for (const text_spec& text : source.texts) {
    auto column = made.column_of(text.column, "a text");
    if (!column) return column.error();
    made.texts_.push_back(*column);
  }
  made.order_columns();
  return made;
}

result<event_schema> event_schema::bind_request(const source_spec& source) {
  std::vector<feature_spec> features = source.features;
  for (feature_spec& feature : features) {
    if (feature.window || parse_number<std::int64_t>(feature.column)) feature.column = feature.name;
    feature.window.reset();
  }
  event_schema made;
  if (auto bound = made.bind_features(features); !bound) return bound.error();
  for (std::size_t f = 0; f < features.size(); ++f) {
    const feature_spec& given = source.features[f];
    const std::string& named = given.column.empty() ? given.name : given.column;
    if (given.window ||
        std::ranges::find(source.texts, named, &text_spec::column) == source.texts.end())
      continue;
    const std::size_t column = made.features_[f].column;
    if (std::ranges::find(made.texts_, column) == made.texts_.end()) made.texts_.push_back(column);
  }
  made.order_columns();
  return made;
}

result<void> event_schema::bind_features(const std::vector<feature_spec>& features) {
  for (const feature_spec& feature : features) {
    if (auto bound = bind_feature(feature); !bound) return bound;
  }
  return {};
}

void event_schema::order_columns() {
  order_.resize(columns_.size());
  std::iota(order_.begin(), order_.end(), 0U);
  std::sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) {
    return columns_[a] < columns_[b];
  });
}

result<void> event_schema::bind_feature(const feature_spec& feature) {
  bound_feature made{feature_writer(feature), 0};
  if (!feature.window || has_column(feature.window->is)) {
    auto column = column_of(feature.column.empty() ? feature.name : feature.column,
                            "feature '" + feature.name + "'");
    if (!column) return column.error();
    made.column = *column;
  }
  if (feature.window) {
    bound_window window{*feature.window, features_.size(), {}, 0, -1};
    if (auto bound = bind_window(feature, window); !bound) return bound;
    if (window.action >= 0) {
      for (const std::size_t column : window.of) keep_column(column);
      if (window.spec.where) keep_column(window.where);
      if (has_column(window.spec.is)) keep_column(made.column);
    }
    windows_.push_back(std::move(window));
  }
  features_.push_back(std::move(made));
  has_values_ = has_values_ || features_.back().writer.has_value();
  lists_ += feature.kind == feature_kind::ids ? 1 : 0;
  return {};
}

void event_schema::keep_column(std::size_t column) {
  if (std::ranges::find(kept_, column, &kept_column::column) == kept_.end())
    kept_.push_back({column, schemas::hash64(std::as_bytes(std::span(columns_[column])))});
}

result<void> event_schema::bind_window(const feature_spec& feature, bound_window& into) {
  const std::string use = "feature '" + feature.name + "'";
  for (const std::string& each : into.spec.of) {
    auto column = column_of(each, use);
    if (!column) return column.error();
    into.of.push_back(*column);
  }
  if (into.spec.where) {
    auto column = column_of(into.spec.where->column, use);
    if (!column) return column.error();
    into.where = *column;
  }
  if (into.spec.on.empty()) return {};
  const auto action = std::ranges::find(actions_, into.spec.on);
  if (action == actions_.end())
    return error{errc::bad_config, use + " is fed by '" + into.spec.on + "', which is no action"};
  into.action = static_cast<std::int32_t>(action - actions_.begin());
  return {};
}

event_schema::names event_schema::look_up(const event_batch& batch) const {
  names known;
  known.columns.assign(batch.names.size(), -1);
  known.actions.assign(batch.names.size(), -1);
  for (std::size_t n = 0; n < batch.names.size(); ++n) {
    const std::string_view name = batch.names[n];
    const auto at = std::lower_bound(
        order_.begin(), order_.end(), name, [&](std::uint32_t place, std::string_view wanted) {
          return columns_[place] < wanted;
        });
    if (at != order_.end() && columns_[*at] == name)
      known.columns[n] = static_cast<std::int32_t>(*at);
    const auto action = std::find(actions_.begin(), actions_.end(), name);
    if (action != actions_.end())
      known.actions[n] = static_cast<std::int32_t>(action - actions_.begin());
  }
  return known;
}

std::int32_t event_schema::action_of(const event_batch& batch,
                                     const names& known,
                                     std::size_t i) const {
  const schemas::event_head& event = batch.events[i];
  if (event.kind != schemas::event_kind::action || event.action >= known.actions.size()) return -1;
  return known.actions[event.action];
}

}  // namespace headrace::worker
