#include "worker/model/precision_watch.hpp"

#include "kernels/loss_scaler/finite_check.hpp"

namespace headrace::worker {

precision_watch::precision_watch(precision wanted, std::size_t layers)
    : wanted_(wanted), guard_(layers, {.slice_rows = check_rows}), ranges_(3 * layers, window) {}

bool precision_watch::checks() const { return wanted_ != precision::f32 && guard_.due(step_); }

kernels::row_slice precision_watch::slice(std::size_t rows) const {
  return guard_.slice(step_, rows);
}

bool precision_watch::checked(std::size_t layer, double error, double tolerance) {
  ++checks_;
  return guard_.report(layer, step_, error, tolerance);
}

bool precision_watch::looks(tensor which) const {
  return checks() || (wanted_ == precision::fp16 && which != tensor::gradient);
}

void precision_watch::look(std::size_t layer, tensor which, std::span<const float> values) {
  ranges_.look(place(layer, which), kernels::abs_max(values));
}

float precision_watch::amax(std::size_t layer, tensor which) const {
  return ranges_.amax(place(layer, which));
}

precision precision_watch::of(std::size_t layer) const {
  if (wanted_ == precision::f32 || guard_.promoted(layer, step_)) return precision::f32;
  if (wanted_ == precision::fp16 && !(ranges_.fits_half(place(layer, tensor::input)) &&
                                      ranges_.fits_half(place(layer, tensor::weights))))
    return precision::f32;
  return wanted_;
}

void precision_watch::end_step(bool finite) {
  ++step_;
  if (!finite) ++steps_not_finite_;
  if (wanted_ == precision::fp16) scaler_.take(finite);
}

precision_figures precision_watch::figures() const {
  return {wanted_, checks_, guard_.promotions_total(), steps_not_finite_, scale()};
}

}  // namespace headrace::worker
