#pragma once

#include "base/result.hpp"
#include "schemas/event.hpp"
#include "schemas/schema.hpp"
#include "worker/events/event_schema.hpp"
#include "worker/ingest/event_source.hpp"
#include "worker/ingest/feature_writer.hpp"
#include "worker/ingest/source_spec.hpp"
#include "worker/model/model_graph.hpp"
#include "worker/step/next_item_ranking.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headrace::serve {

/// A column that a request may bring.
struct request_column {
  std::string name;
  worker::feature_kind kind = worker::feature_kind::id;
};

/// A model of a job as requests see it: which columns it takes, how they become keys and values (by
/// the code that makes samples of events), what it predicts. Immutable; threads share it.
///
/// Columns have the names that events have. A feature whose column the job names by number goes by
/// its own name, and so does a window feature: a replica has no windows, so whoever asks brings
/// what the window holds (docs/predict.md). A column that is not there is the feature's missing id;
/// crosses follow from the others. A generated stream has id1 … id26, integers, and number1 … 13.
class served_model {
 public:
  struct parts {
    std::string name;                                  // as paths have it
    std::shared_ptr<const worker::model_graph> graph;  // of the job
    worker::source_spec source;
    schemas::job_schema schema;  // its tables are the graph's, in its order and widths
  };
  /// Fails: bad_config (as event_schema::bind).
  static result<std::shared_ptr<const served_model>> make(parts from);

  const std::string& name() const { return parts_.name; }
  const std::shared_ptr<const worker::model_graph>& graph() const { return parts_.graph; }
  const schemas::job_schema& schema() const { return parts_.schema; }
  std::span<const request_column> columns() const { return columns_; }
  std::span<const worker::model_head> heads() const { return parts_.graph->heads(); }
  /// Fails: bad_input, which names the heads there are.
  result<std::size_t> head(std::string_view name) const;
  /// As answers have it: the label's, or `score` of a model of op `next_item`.
  std::string_view head_name(std::size_t head) const {
    return next_item_ ? std::string_view("score") : std::string_view(heads()[head].name);
  }
  /// Of a model of op `next_item`, which ranks what may come next: where its parts are. Requests
  /// then bring one column more, `next`, an id of its list.
  const std::optional<worker::next_item_parts>& next_item() const { return next_item_; }
  /// Row key of event i's `next`. Fails: bad_input.
  result<std::uint64_t> next_of(const schemas::event_batch& batch, std::size_t i) const;

  /// Features in the order of the job, with lists, without crosses.
  std::span<const std::string> features() const { return feature_names_; }

  bool is_list(std::size_t feature) const {
    return writers_[feature].kind() == worker::feature_kind::ids;
  }

  /// Keys of a sample, crosses included, and its lists.
  std::size_t keys() const { return keys_ + parts_.source.crosses.size(); }
  std::size_t lists() const { return lists_; }
  /// Whether key k of a sample is an id that a request named: no cross, no number.
  bool is_id(std::size_t k) const { return k < keys_ && missing_[k] != 0; }
  /// Of an id: the key that stands where there is none; else 0.
  std::uint64_t missing_key(std::size_t k) const { return k < keys_ ? missing_[k] : 0; }

  /// The columns of a batch of events by place. Fails: bad_input, for a name that is no column: it
  /// names the nearest, and those there are.
  result<worker::event_schema::names> look_up(const schemas::event_batch& batch) const;
  /// Columns of a batch as the model reads them: those of texts that the job cleans are clean
  /// (worker/text/text_cleaning.hpp). They are `given`, or in `scratch`.
  struct cleaned_columns {
    schemas::event_batch batch;
    std::deque<std::vector<std::string>> texts;  // of each event
  };
  const schemas::event_batch& clean(const schemas::event_batch& given,
                                    const worker::event_schema::names& known,
                                    cleaned_columns& scratch) const;
  /// Event i as a sample without labels; columns that it lacks are `shared`'s, where that is one.
  /// Fails: bad_input, which names the column.
  result<void> parse(const schemas::event_batch& batch,
                     const worker::event_schema::names& known,
                     std::size_t i,
                     const worker::event* shared,
                     worker::event& into) const;
  /// Writes crosses anew after keys were exchanged.
  void cross(worker::event& sample) const;
  /// A sample of which nothing is known.
  void nothing(worker::event& into) const;

  /// Row key of an id of a feature, as `look_up` for embeddings wants it. Fails: not_found (no such
  /// feature, one without ids), bad_input.
  result<std::uint64_t> key_of(std::string_view feature, std::string_view id) const;
  /// A table that is looked up, by its name. Fails: not_found, which names those there are.
  result<table_id> table(std::string_view name) const;
  /// The feature with ids that looks up rows of the table, where there is one only.
  std::optional<std::string_view> only_feature_of(table_id table) const;

 private:
  explicit served_model(parts from) : parts_(std::move(from)) {}
  result<void> bind();
  bool is_generated() const;
  result<void> parse_generated(const schemas::event_batch& batch,
                               const worker::event_schema::names& known,
                               std::size_t i,
                               const worker::event* shared,
                               worker::event& into) const;

  parts parts_;
  worker::event_schema columns_of_;
  std::vector<request_column> columns_;
  std::vector<std::string> feature_names_;
  std::vector<worker::feature_writer> writers_;  // [features]
  std::vector<std::uint64_t> missing_;           // [keys_]
  std::size_t keys_ = 0;                         // of a sample, without crosses
  std::size_t lists_ = 0;
  std::optional<worker::next_item_parts> next_item_;
  std::size_t next_writer_ = 0;  // of its list
  bool has_values_ = false;      // some value of a sample may differ from 1
};

}  // namespace headrace::serve
