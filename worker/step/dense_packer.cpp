#include "worker/step/dense_packer.hpp"

#include "base/check.hpp"
#include "kernels/block_int4/block_int4.hpp"
#include "kernels/error_feedback/error_feedback.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/top_k/top_k.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace headrace::worker {
namespace {

using schemas::value_codec;

/// True when a + b is finite everywhere.
bool sums_are_finite(const float* a, const float* b, std::size_t n) {
  float probe = 0.0F;
  for (std::size_t i = 0; i < n; ++i) probe += (a[i] + b[i]) * 0.0F;
  return probe == 0.0F;
}

double norm_of(std::span<const float> values) {
  double squares = 0.0;
  for (const float value : values)
    squares += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(squares);
}

}  // namespace

dense_packer::dense_packer(push_choice choice)
    : choice_(choice), workspace_(kernels::top_k_workspace()) {
  CHECK(choice == push_choice::int4 || leaves_out(choice));
}

std::uint64_t dense_packer::pack(const row_set& set,
                                 const pull_plan::part& part,
                                 batch_number batch,
                                 schemas::row_block& into) {
  const std::size_t n = part.rows.size() * set.dim;
  if (residuals_.empty()) residuals_.assign(n, 0.0F);
  CHECK(residuals_.size() == n);
  const std::uint64_t bad = gather(set, part);
  const bool flush = flush_next_;
  if (choice_ == push_choice::int4) {
    pack_int4(into);
  } else if (flush) {
    pack_int8(into);
  } else {
    pack_topk(values_chosen(choice_, n, batch), into);
  }
  if (choice_ == push_choice::automatic) note_error(flush);
  return bad;
}

std::uint64_t dense_packer::gather(const row_set& set, const pull_plan::part& part) {
  std::uint64_t bad = 0;
  gradients_.resize(residuals_.size());
  float* to = gradients_.data();
  const float* kept = residuals_.data();
  for (const std::uint32_t row : part.rows) {
    const float* from = &set.gradients[row * set.dim];
    if (sums_are_finite(from, kept, set.dim)) {
      std::copy_n(from, set.dim, to);
    } else {
      std::fill_n(to, set.dim, 0.0F);
      ++bad;
    }
    to += set.dim;
    kept += set.dim;
  }
  return bad;
}

void dense_packer::pack_topk(std::size_t k, schemas::row_block& into) {
  const std::size_t n = gradients_.size();
  constexpr std::size_t head = schemas::topk_head_bytes;
  values_.resize(schemas::value_layout_bytes(value_codec::topk, n / into.dim, into.dim, k));
  scales_.resize(kernels::sparse_scales(k));
  indices_.resize(k);
  selected_.resize(k);
  const auto chosen = static_cast<std::uint32_t>(k);
  std::memcpy(values_.data(), &chosen, sizeof chosen);
  kernels::sparsify({.gradients = gradients_,
                     .residuals = residuals_,
                     .indices = indices_,
                     .codes = {reinterpret_cast<std::int8_t*>(values_.data() + head), k},
                     .scales = scales_,
                     .selected = selected_,
                     .workspace = workspace_});
  schemas::pack_indices(indices_, n, std::span(values_).subspan(head + k));
  into.codec = value_codec::topk;
  into.scales = scales_;
  into.values = values_;
}

void dense_packer::pack_int4(schemas::row_block& into) {
  const std::size_t n = gradients_.size();
  values_.resize(kernels::int4_bytes(n));
  scales_.resize(kernels::int4_scales(n));
  kernels::encode_int4({.values = gradients_,
                        .residuals = residuals_,
                        .codes = {reinterpret_cast<std::uint8_t*>(values_.data()), values_.size()},
                        .scales = scales_});
  into.codec = value_codec::int4;
  into.scales = scales_;
  into.values = values_;
}

void dense_packer::pack_int8(schemas::row_block& into) {
  const std::size_t n = gradients_.size();
  values_.resize(n);
  scales_.resize(n / into.dim);
  selected_.resize(n);
  const std::span codes(reinterpret_cast<std::int8_t*>(values_.data()), n);
  for (std::size_t i = 0; i < n; ++i) residuals_[i] += gradients_[i];
  kernels::quantize_rows(
      {.values = residuals_, .codes = codes, .scales = scales_, .dim = into.dim});
  kernels::dequantize_rows(
      {.codes = codes, .scales = scales_, .dim = into.dim, .values = selected_});
  for (std::size_t i = 0; i < n; ++i) residuals_[i] -= selected_[i];
  into.codec = value_codec::int8;
  into.scales = scales_;
  into.values = values_;
}

void dense_packer::note_error(bool flushed) {
  since_flush_ = flushed ? 1 : since_flush_ + 1;
  flush_next_ =
      since_flush_ >= flush_every && norm_of(residuals_) > residual_max * norm_of(gradients_);
}

}  // namespace headrace::worker
