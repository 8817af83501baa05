#pragma once

#include "schemas/event.hpp"
#include "worker/events/event_json.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <simdjson.h>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// One JSON object → one event of a builder. Has the JSON library in it: included by what reads
/// texts, event_json.cpp and serve/request_json.cpp.
class json_event_reader {
 public:
  using options = event_json_reader::read_options;

  enum class outcome : std::uint8_t {
    added,
    refused,  // `refusal` says why; the builder is as it was
    broken,   // so is it, and what lies behind cannot be read: `broken_by` says why
  };
  outcome read(simdjson::ondemand::object from,
               const options& how,
               schemas::event_batch_builder& into);
  /// The same where every member is a column, whatever its name.
  outcome read_columns(simdjson::ondemand::object from, schemas::event_batch_builder& into);

  schemas::event_fault fault() const { return fault_; }
  const std::string& detail() const { return detail_; }
  simdjson::error_code broken_by() const { return broken_by_; }

  /// Whether the library can go on behind a value of this error.
  static bool is_of_value(simdjson::error_code error);

 private:
  using value = simdjson::ondemand::value;
  using fault_kind = schemas::event_fault;

  void begin(const options& how, schemas::event_batch_builder& into);
  bool members(simdjson::ondemand::object from, bool in_features);
  bool member(std::string_view name, value& from);
  bool column(std::string_view name, value& from);
  bool column_value(std::string_view name, std::uint16_t place, value& from);
  bool list(std::string_view name, std::uint16_t place, value& from);
  bool list_item(std::string_view name, value& from);
  bool number(std::string_view name, std::uint16_t place, value& from);
  bool nulls_once();
  std::optional<std::uint16_t> place_of(std::string_view name);
  bool id_or_key(std::string_view name, std::size_t most, value& from, std::string_view& into);
  bool time(value& from);
  bool action(value& from);
  bool schema_version(value& from);
  bool features(value& from);
  bool message_key();

  bool text(std::string_view name, std::size_t most, value& from, std::string_view& into);
  bool fits(std::string_view name, std::string_view text, std::size_t most);
  bool is_null(value& from);
  bool once(std::string_view name, unsigned member);
  bool refuse(fault_kind fault, std::string_view name, const std::string& why);
  bool wrong_type(std::string_view name, value& from, std::string_view needed);
  /// Of a value by name, or of the whole text.
  bool failed(simdjson::error_code error, std::string_view name);

  const options* how_ = nullptr;
  schemas::event_batch_builder* into_ = nullptr;
  std::uint64_t event_ = 0;           // counts, for seen_
  std::vector<std::uint64_t> seen_ =  // [name of the batch] event that had it last
      std::vector<std::uint64_t>(schemas::batch_names_max);
  std::vector<std::string_view> nulls_;  // columns of this event without a value
  std::vector<std::string_view> items_;  // of one list
  std::size_t members_ = 0;              // of this event
  unsigned known_members_ = 0;           // bits
  bool has_key_ = false;
  fault_kind fault_ = fault_kind::none;
  std::string detail_;
  simdjson::error_code broken_by_ = simdjson::SUCCESS;
};

/// `token` without the spaces behind it.
std::string_view without_spaces(std::string_view token);

}  // namespace headrace::worker
