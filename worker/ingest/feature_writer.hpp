#pragma once

#include "worker/ingest/event_source.hpp"
#include "worker/ingest/source_spec.hpp"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace headrace::worker {

/// Writes one feature of an event: its key, its value, its list. The rules of files and of live
/// events, in one place, so that the same columns give the same rows whatever way they came.
///
/// Row keys: an id is hash_string_key(salt, text); an empty text is missing_key(salt), value 1. A
/// float is the one row hash_string_key(salt, "") times the value (an id is never the empty text,
/// so these don't meet); with `bucket` it is the id of floor(x / width) in decimal. A list's ids
/// are as id features, and its keys stand apart (event::sequence_keys).
///
/// `with_values`: whether some feature of the job has values other than 1, so that each gets one.
/// Immutable.
class feature_writer {
 public:
  /// The salt is the feature's name unless it is set.
  explicit feature_writer(const feature_spec& spec);

  const std::string& name() const { return spec_.name; }
  feature_kind kind() const { return spec_.kind; }
  /// A float without `bucket`: its value may differ from 1.
  bool has_value() const { return spec_.kind == feature_kind::float_value && !is_bucket_; }

  /// Row key of an id, or of one of a list: of a text that is not empty.
  std::uint64_t key_of(std::string_view id) const;
  /// An empty column: of a list, nothing.
  void missing(event& into, bool with_values) const;
  /// Of an id feature.
  void id(std::string_view text, event& into, bool with_values) const;
  /// Of a float feature. False, and nothing is written, where it is not finite when transformed.
  [[nodiscard]] bool number(double x, event& into, bool with_values) const;
  /// Whether `number` would write it.
  bool takes(double x) const;
  /// Of a list in one text, between separators; nothing between two is no id.
  void ids(std::string_view text, event& into) const;
  /// Of a list in texts; an empty one is no id.
  void ids(std::span<const std::string_view> texts, event& into) const;

 private:
  double transformed(double x) const;
  template <class ForEach>
  void write_list(const ForEach& for_each, event& into) const;

  feature_spec spec_;
  std::uint64_t missing_ = 0;  // row keys
  std::uint64_t whole_ = 0;    // of a float without `bucket`
  bool is_bucket_ = false;
  double safe_max_ = 0.0;  // numbers up to here stay finite, either sign
};

}  // namespace headrace::worker
