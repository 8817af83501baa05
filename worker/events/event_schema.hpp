#pragma once

#include "schemas/event.hpp"
#include "worker/ingest/event_source.hpp"
#include "worker/ingest/source_spec.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// What a job takes of an event: the columns of its features and labels by name, and the actions
/// that are labels. Checks events at the gate and makes samples of those that were taken, by the
/// same rules as rows of a file (worker/ingest/row_parser.hpp): the same columns give the same keys
/// and values. Columns the job doesn't name are let through. Immutable.
class event_schema {
 public:
  /// `actions`: of a job that joins, in the order of its labels; else the labels of `source` are
  /// comparisons over columns. Fails: bad_config.
  static result<event_schema> bind(const source_spec& source,
                                   const std::vector<std::string>& actions = {});

  /// Names of one batch, looked up once.
  struct names {
    std::vector<std::int32_t> features;  // [batch.names] feature that reads it, or −1
    std::vector<std::int32_t> actions;
  };
  names look_up(const schemas::event_batch& batch) const;

  struct problem {
    schemas::event_fault fault;
    std::string detail;  // "price: a number is needed, this is text 'cheap'"
  };
  /// Whether event i can become a sample, or a label of one.
  std::optional<problem> check(const schemas::event_batch& batch,
                               const names& known,
                               std::size_t i) const;
  /// Keys, values, lists and labels of event i, which passed `check`; a job that joins has no labels
  /// yet, and 0 stands for each.
  void parse(const schemas::event_batch& batch,
             const names& known,
             std::size_t i,
             event& into) const;

  /// The kind of an action of event i, or −1.
  std::int32_t action_of(const schemas::event_batch& batch, const names& known, std::size_t i) const;
  std::size_t features() const;  // with a key of their own
  bool joins() const;
};

}  // namespace headrace::worker
