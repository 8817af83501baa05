#pragma once

#include "base/result.hpp"
#include "serve/predictor.hpp"
#include "serve/replica.hpp"
#include "serve/request_json.hpp"
#include "serve/served_model.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::serve {

/// Texts of requests to texts of answers, as docs/predict.md has them, without HTTP. Several
/// requests go through the model as one batch: `add` each, then `predict` once.
///
/// Single-threaded: one for each scoring thread. `now_ms` is wall time, for ages.
class answerer {
 public:
  /// `samples_max`: of one request; rows of one look-up.
  answerer(std::shared_ptr<const served_model> model,
           std::shared_ptr<const replica> rows,
           std::size_t samples_max);

  enum class form : std::uint8_t { friendly, v2 };
  /// A request for predictions joins the batch. Fails, and the batch is as it was: as request_json
  /// and predictor::add.
  result<void> add(std::string_view text, form as);
  std::size_t samples() const { return scores_.samples(); }

  struct answered {
    std::string text;  // a line of JSON
    std::size_t samples = 0;
    std::size_t unknown_ids = 0;
  };
  /// Of everything added since, in that order. Fails, for all of them: as predictor::predict.
  result<std::vector<answered>> predict(std::uint64_t now_ms);
  /// Fail: as request_json, and as predictor::explain or replica::read; not_found.
  result<answered> explain(std::string_view text, std::uint64_t now_ms);
  result<answered> lookup(std::string_view table, std::string_view text, std::uint64_t now_ms);

  /// Plans are made, so that no request waits for them.
  result<void> warm(std::size_t samples) { return scores_.warm(samples); }

 private:
  /// How a request of the batch is to be answered.
  struct wanted {
    form as = form::friendly;
    bool shared = false;
    std::uint32_t top = 0;           // 0: all
    std::string id;                  // of V2
    std::vector<std::size_t> heads;  // of the answer
  };
  result<std::vector<std::size_t>> heads_of(const std::vector<std::string>& names) const;
  std::string friendly_answer(const wanted& of,
                              const predictions& all,
                              std::size_t request,
                              std::uint64_t now_ms) const;
  std::string v2_answer(const wanted& of,
                        const predictions& all,
                        std::size_t request,
                        std::uint64_t now_ms) const;

  std::shared_ptr<const served_model> model_;
  std::shared_ptr<const replica> rows_;
  request_json requests_;
  predictor scores_;
  std::vector<wanted> wanted_;
};

/// What `GET /v1/models/M` says: columns, heads, tables.
std::string described(const served_model& model, const replica_stamp& stamp, std::uint64_t now_ms);
/// What `GET /v2/models/M` says.
std::string described_v2(const served_model& model);

}  // namespace headrace::serve
