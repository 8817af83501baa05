#pragma once

#include "base/check.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace headrace {

/// Every way an expected failure is named, on the wire and in messages. Numbers are frozen
/// (docs/errors.md lists each with what an operator does about it).
enum class errc : std::uint16_t {
  ok = 0,
  // Transient refusals: leave no trace, the worker drains the source and retries in order.
  gap = 1,             // push skips a batch of its source
  overloaded = 2,      // a bound was reached; try again later
  stale_epoch = 3,     // the request names an ownership epoch that is not this one
  stale_schema = 4,    // the request names a schema version that is not this one
  stale_gradient = 5,  // computed from rows older than staleness_max; pull again
  timeout = 6,         // no answer before the deadline
  unavailable = 7,     // peer gone, shutting down or not yet recovered
  // Permanent refusals: written as a void record that advances the watermark.
  quarantined = 20,
  norm_exceeded = 21,
  not_finite = 22,
  bad_dims = 23,
  unknown_table = 24,
  bad_keys = 25,  // not strictly ascending, or on the wrong shard
  // Requests that can never succeed as sent.
  malformed = 40,
  too_large = 41,
  bad_protocol = 42,
  unknown_source = 43,  // a retired generation, or a source this shard never met
  not_found = 44,
  unauthorized = 45,  // a token is wrong or missing
  // Local failures.
  io_error = 60,
  disk_full = 61,
  corrupt = 62,
  in_use = 63,
  bad_config = 64,
  bad_input = 65,
  wrong_job = 66,
  cancelled = 67,
};

/// The frozen lower-case name of `code`, such as "gap".
std::string_view name(errc code);

/// True for refusals that leave no trace on the shard and may succeed when sent again.
constexpr bool is_transient(errc code) { return code >= errc::gap && code <= errc::unavailable; }
/// True for refusals that are written to the log as a void record.
constexpr bool is_permanent(errc code) {
  return code >= errc::quarantined && code <= errc::bad_keys;
}

/// An expected failure: what kind, and one line that says what happened, to which id, what to do.
struct error {
  errc code = errc::ok;
  std::string detail;
};

/// "code: detail", for people.
std::string describe(const error& failure);

/// A value, or the error that stands in its place. Handle it, return it, or count it.
template <class Value>
class [[nodiscard]] result {
 public:
  result(Value value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  result(headrace::error failure)
      : state_(std::in_place_index<1>, std::move(failure)) {
  }  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  Value& operator*() & { return value(); }
  const Value& operator*() const& { return value(); }
  Value&& operator*() && { return std::move(value()); }
  Value* operator->() { return &value(); }
  const Value* operator->() const { return &value(); }

  /// The value; a bug if there is none.
  Value& value() {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const Value& value() const {
    CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  /// The failure; a bug if there is none.
  const headrace::error& error() const {
    CHECK(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<Value, headrace::error> state_;
};

/// Done, or why not.
template <>
class [[nodiscard]] result<void> {
 public:
  result() = default;
  result(headrace::error failure)
      : failure_(std::move(failure)), ok_(false) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return ok_; }
  explicit operator bool() const { return ok_; }
  const headrace::error& error() const {
    CHECK(!ok_);
    return failure_;
  }

 private:
  headrace::error failure_;
  bool ok_ = true;
};

}  // namespace headrace
