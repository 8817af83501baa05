#include "base/check.hpp"
#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

// The values of number features as they are, [samples, features].
class numbers_layer final : public layer {
 public:
  explicit numbers_layer(std::vector<std::uint32_t> features) : features_(std::move(features)) {
    output = {.fields = 1, .dim = features_.size()};
  }
  device_form on_device() const override { return numbers_form{features_}; }
  double forward(const layer_run& run) const override {
    CHECK(features_.back() < run.features);
    if (run.numbers.empty()) {
      std::ranges::fill(run.output, 1.0F);
      return 0.0;
    }
    float* to = run.output.data();
    for (std::size_t s = 0; s < run.samples; ++s) {
      for (const std::uint32_t f : features_) *to++ = run.numbers[s * run.features + f];
    }
    return 0.0;
  }
  void backward(const layer_run&) const override {}

 private:
  std::vector<std::uint32_t> features_;
};

}  // namespace

result<std::unique_ptr<layer>> make_numbers(const layer_section& section) {
  if (!section.inputs.empty()) return error{errc::bad_config, "takes no inputs"};
  auto features = choose_features(section, "numbers");
  if (!features) return features.error();
  if (!features->lists.empty())
    return error{errc::bad_config, "takes features with one value; a list has none"};
  if (features->single.empty())
    return error{errc::bad_config, "the job has no feature of kind \"float\" without a bucket"};
  return std::unique_ptr<layer>(std::make_unique<numbers_layer>(std::move(features->single)));
}

}  // namespace headrace::worker
