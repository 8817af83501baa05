#pragma once

#include "base/result.hpp"
#include "schemas/event.hpp"
#include "serve/served_model.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::serve {

struct predict_request {
  bool shared = false;  // event 0 of the columns is what all others have in common
  std::optional<std::uint32_t> top;
  std::vector<std::string> heads;  // empty: all
};

struct explain_request {
  bool shared = false;
  std::string head;  // empty: the first
  std::uint32_t permutations = 64;
  std::uint64_t seed = 1;
};

struct lookup_request {
  std::string feature;  // empty: the only one of the table
  std::vector<std::string> ids;
  std::vector<std::uint64_t> keys;  // or these
};

/// Open Inference V2.
struct infer_request {
  std::string id;
  bool shared = false;
  std::vector<std::string> outputs;  // empty: all heads
};

/// Reads requests in JSON (docs/predict.md has the forms). Columns of a user, a candidate or an
/// instance are read as those of an event (worker/events/json_event_reader.hpp), tensors become the
/// same. Strict: a member that is not known, or there twice, is refused. Memory is bounded by the
/// text, whose length is the caller's to bound. Single-threaded.
///
/// All fail: malformed (no JSON), bad_input (JSON of another form; the line names the member),
/// too_large (more samples or rows than `samples_max`).
class request_json {
 public:
  /// `model` outlives it.
  request_json(const served_model& model, std::size_t samples_max);
  ~request_json();

  /// The columns are in `columns` until the next call.
  result<predict_request> predict(std::string_view text);
  result<explain_request> explain(std::string_view text);
  result<infer_request> infer(std::string_view text);
  result<lookup_request> lookup(std::string_view text);

  const schemas::event_batch& columns() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace headrace::serve
