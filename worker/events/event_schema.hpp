#pragma once

#include "base/result.hpp"
#include "schemas/event.hpp"
#include "worker/ingest/event_source.hpp"
#include "worker/ingest/feature_writer.hpp"
#include "worker/ingest/source_spec.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// What a job takes of an event: the columns of its features and labels by name, and the actions
/// that are labels. Checks events at the gate and makes samples of those that were taken, by the
/// same rules as rows of a file (worker/ingest/feature_writer.hpp): the same columns give the same
/// keys and values. Columns the job doesn't name are let through. Immutable.
///
/// What a column may be:
///   id       a text, or an integer, which stands for its decimal digits
///   float    a number, an integer, or a text that is a number as in a file
///   ids      texts, a text with separators as in a file, or an integer: one id
///   label    as float; must be there, unless the job joins
///   window   of: as id; sum, where: as float; last: as id; also of an action that feeds it
///   texts    as id
/// A feature's column that is not there, or is an empty text, is the feature's missing id; of a
/// list, nothing.
class event_schema {
 public:
  /// `actions`: of a job that joins, in the order of its labels; else the labels of `source` are
  /// comparisons over columns. Fails: bad_config (a column given by number; an action twice).
  static result<event_schema> bind(const source_spec& source,
                                   const std::vector<std::string>& actions = {});

  /// What a request for a prediction has: no labels and no windows. A window feature is a column of
  /// its own name, which holds what the window would give; one whose column is given by number goes
  /// by its name. Texts are those that a feature reads. `check`, `clean_texts` and `parse` serve as
  /// for impressions. Fails: as `bind`.
  static result<event_schema> bind_request(const source_spec& source);

  /// Names of one batch, looked up once: place of each among the columns and the actions of the
  /// job, or −1.
  struct names {
    std::vector<std::int32_t> columns;  // [batch.names]
    std::vector<std::int32_t> actions;  // [batch.names]
  };
  names look_up(const schemas::event_batch& batch) const;

  struct problem {
    schemas::event_fault fault = schemas::event_fault::none;
    std::string detail;  // "price: a number is needed, this is the text 'cheap'"
  };
  /// Whether event i can become a sample, or a label of one: unknown_action, missing_field,
  /// wrong_type, not_finite, malformed (a column that is there twice). What an action brings along
  /// is looked at only for windows that it feeds.
  std::optional<problem> check(const schemas::event_batch& batch,
                               const names& known,
                               std::size_t i) const;
  /// The part of `check` that comes before all others: an action must be one of the job's.
  std::optional<problem> check_action(const schemas::event_batch& batch,
                                      const names& known,
                                      std::size_t i) const;
  /// Puts the clean text in the place of each of event i's columns of texts
  /// (worker/text/text_cleaning.hpp), for whatever reads the batch from here on. `into` holds them
  /// meanwhile, in the order of the job's texts: an integer's is its digits, that of a column which
  /// is not there empty. What a list has stays. Of an event that passed `check`, which it still
  /// does then.
  void clean_texts(schemas::event_batch& batch,
                   const names& known,
                   std::size_t i,
                   std::vector<std::string>& into) const;

  /// All of event i, which is an impression and passed `check`, but its row number; a job that
  /// joins has no labels yet, and 0 stands for each. Crosses are not written: a crossed_source
  /// around the reader of the log does that, as around any other source. Of window features there
  /// is what event::windows says; window_features writes them.
  void parse(const schemas::event_batch& batch,
             const names& known,
             std::size_t i,
             event& into) const;

  /// The same over another: a feature whose column event i lacks is as `shared`, which this schema
  /// parsed, has it.
  void parse_over(const schemas::event_batch& batch,
                  const names& known,
                  std::size_t i,
                  const event& shared,
                  event& into) const;

  /// Of event i, which is an action and passed `check`: what it is to the windows, of which it asks
  /// nothing. `of_impression` is what `keep_columns` gave for its impression, or empty: a column
  /// that the action lacks is taken from there. What doesn't fit the window is as if it were not
  /// there.
  void parse_action(const schemas::event_batch& batch,
                    const names& known,
                    std::size_t i,
                    std::span<const std::byte> of_impression,
                    std::vector<window_input>& into) const;
  /// Whether some window is fed by actions.
  bool keeps_columns() const { return !kept_.empty(); }
  /// Of event i, which is an impression and passed `check`: the columns that its actions may lack,
  /// as bytes. Empty when it has none of them.
  void keep_columns(const schemas::event_batch& batch,
                    const names& known,
                    std::size_t i,
                    std::vector<std::byte>& into) const;

  /// The kind of an action of event i, or −1: the job has no such action, or it is an impression.
  std::int32_t action_of(const schemas::event_batch& batch,
                         const names& known,
                         std::size_t i) const;
  /// With a key of their own: all but lists, without crosses.
  std::size_t features() const { return features_.size() - lists_; }
  std::size_t labels() const { return joins() ? actions_.size() : labels_.size(); }
  bool joins() const { return !actions_.empty(); }
  /// Whether `clean_texts` has anything to do.
  bool has_texts() const { return !texts_.empty(); }
  const std::vector<std::string>& actions() const { return actions_; }
  /// What it looks at, each once.
  const std::vector<std::string>& columns() const { return columns_; }
  /// Of the features and the actions: what `parse` makes of an event of a job that joins, and which
  /// actions are which labels.
  std::uint64_t fingerprint() const { return fingerprint_; }

 private:
  struct bound_feature {
    feature_writer writer;
    std::size_t column = 0;
  };
  struct bound_label {
    label_spec spec;
    std::size_t column = 0;
  };
  struct bound_window {
    sliding_window spec;
    std::size_t feature = 0;
    std::vector<std::size_t> of;  // columns
    std::size_t where = 0;        // column, if it has one
    std::int32_t action = -1;     // that feeds it; −1: what is no action
  };
  struct kept_column {
    std::size_t column = 0;
    std::uint64_t name = 0;  // hash: what is kept may be read by another job file
  };
  class column_fields;
  class kept_columns;
  result<std::size_t> column_of(const std::string& column, const std::string& use);
  result<void> bind_features(const std::vector<feature_spec>& features);
  void order_columns();
  result<void> bind_feature(const feature_spec& feature);
  void keep_column(std::size_t column);
  result<void> bind_window(const feature_spec& feature, bound_window& into);
  std::optional<problem> check_window(const bound_window& window,
                                      const column_fields& fields,
                                      bool feeds) const;
  window_input parse_window(const bound_window& window,
                            const column_fields& fields,
                            bool feeds) const;

  std::vector<std::string> columns_;  // each once
  std::vector<std::uint32_t> order_;  // [columns] places, by name
  std::vector<std::string> actions_;
  std::vector<bound_label> labels_;  // none of a job that joins
  std::vector<bound_feature> features_;
  std::vector<bound_window> windows_;
  std::vector<kept_column> kept_;   // of windows that actions feed, each once
  std::vector<std::size_t> texts_;  // columns
  std::size_t lists_ = 0;
  std::uint64_t fingerprint_ = 0;
  bool has_values_ = false;
};

}  // namespace headrace::worker
