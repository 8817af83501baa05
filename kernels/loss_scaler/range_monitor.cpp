#include "kernels/loss_scaler/range_monitor.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace headrace::kernels {

range_monitor::range_monitor(std::size_t tensors, std::size_t window)
    : window_(window), histories_(tensors), amaxes_(tensors * window) {
  CHECK(window > 0);
}

void range_monitor::look(std::size_t tensor, float amax) {
  CHECK(tensor < histories_.size());
  CHECK(!(amax < 0.0F));
  history& seen = histories_[tensor];
  amaxes_[tensor * window_ + seen.next] =
      std::isnan(amax) ? std::numeric_limits<float>::infinity() : amax;
  seen.next = (seen.next + 1) % window_;
  seen.count = std::min(seen.count + 1, window_);
}

float range_monitor::amax(std::size_t tensor) const {
  CHECK(tensor < histories_.size());
  const float* first = amaxes_.data() + tensor * window_;
  float largest = 0.0F;
  for (std::size_t i = 0; i < histories_[tensor].count; ++i) largest = std::max(largest, first[i]);
  return largest;
}

bool range_monitor::fits_half(std::size_t tensor) const {
  return amax(tensor) <= half_amax_limit && histories_[tensor].count > 0;
}

}  // namespace headrace::kernels
