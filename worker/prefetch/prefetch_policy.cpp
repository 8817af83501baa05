#include "worker/prefetch/prefetch_policy.hpp"

#include "base/check.hpp"
#include "worker/prefetch/lstm_prefetch.hpp"
#include "worker/prefetch/next_batch_prefetch.hpp"

namespace headrace::worker {
namespace {

class no_prefetch final : public prefetch_policy {
 public:
  void observe(std::span<const std::uint64_t>) override {}
  void predict(std::size_t, std::vector<std::uint64_t>& wanted) override { wanted.clear(); }
  std::string report() const override { return "none: rows are fetched when they are pulled"; }
};

}  // namespace

std::string_view name(prefetch_kind kind) {
  switch (kind) {
    case prefetch_kind::next_batch:
      return "next_batch";
    case prefetch_kind::none:
      return "none";
    case prefetch_kind::lstm:
      return "lstm";
  }
  return "unknown";
}

std::unique_ptr<prefetch_policy> make_prefetch_policy(prefetch_kind kind,
                                                      std::size_t rows,
                                                      std::uint64_t seed) {
  switch (kind) {
    case prefetch_kind::next_batch:
      return std::make_unique<next_batch_prefetch>();
    case prefetch_kind::none:
      return std::make_unique<no_prefetch>();
    case prefetch_kind::lstm: {
      lstm_prefetch::settings given;
      given.trial.rows = rows;
      given.predictor.seed = seed;
      return std::make_unique<lstm_prefetch>(given);
    }
  }
  CHECK(false);
}

}  // namespace headrace::worker
