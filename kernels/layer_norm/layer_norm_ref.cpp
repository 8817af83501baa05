#include "base/check.hpp"
#include "kernels/layer_norm/layer_norm.hpp"

#include <cmath>
#include <vector>

namespace headrace::kernels {
namespace {

template <class Value>
std::vector<double> summed_row(const basic_layer_norm_forward_args<Value>& args, std::size_t row) {
  std::vector<double> s(args.dim);
  for (std::size_t c = 0; c < args.dim; ++c) {
    const std::size_t at = row * args.dim + c;
    s[c] = static_cast<double>(args.x[at]);
    if (args.residual.empty()) continue;
    s[c] += static_cast<double>(args.residual[at]);
    args.sum[at] = static_cast<Value>(s[c]);
  }
  return s;
}

template <class Value>
void forward(const basic_layer_norm_forward_args<Value>& args) {
  CHECK(args.x.size() == args.rstd.size() * args.dim);
  CHECK(args.sum.size() == args.residual.size());
  const double n = static_cast<double>(args.dim);
  for (std::size_t r = 0; r < args.rstd.size(); ++r) {
    const std::vector<double> s = summed_row(args, r);
    double mean = 0.0;
    if (args.kind == norm_kind::layer) {
      for (const double value : s) mean += value / n;
      args.mean[r] = static_cast<Value>(mean);
    }
    double variance = 0.0;
    for (const double value : s) variance += (value - mean) * (value - mean) / n;
    const double rstd = 1.0 / std::sqrt(variance + static_cast<double>(args.epsilon));
    args.rstd[r] = static_cast<Value>(rstd);
    for (std::size_t c = 0; c < args.dim; ++c) {
      const double bias = args.bias.empty() ? 0.0 : static_cast<double>(args.bias[c]);
      const double y = (s[c] - mean) * rstd * static_cast<double>(args.gain[c]) + bias;
      args.y[r * args.dim + c] = static_cast<Value>(y);
    }
  }
}

/// What backward needs of one row, in double.
struct row_of_doubles {
  template <class Value>
  row_of_doubles(const basic_layer_norm_backward_args<Value>& args, std::size_t r)
      : rstd(static_cast<double>(args.rstd[r])) {
    const double mean = args.mean.empty() ? 0.0 : static_cast<double>(args.mean[r]);
    for (std::size_t c = 0; c < args.dim; ++c) {
      const std::size_t at = r * args.dim + c;
      xhat.push_back((static_cast<double>(args.sum[at]) - mean) * rstd);
      dy.push_back(static_cast<double>(args.y_gradients[at]));
      ds.push_back(args.sum_gradients.empty() ? 0.0 : static_cast<double>(args.sum_gradients[at]));
      g.push_back(dy[c] * static_cast<double>(args.gain[c]));
    }
  }
  double rstd;
  std::vector<double> xhat;
  std::vector<double> dy;
  std::vector<double> ds;
  std::vector<double> g;
};

template <class Value>
void backward(const basic_layer_norm_backward_args<Value>& args) {
  CHECK(args.sum.size() == args.rstd.size() * args.dim);
  CHECK(args.gain_gradients.size() == args.dim);
  const double n = static_cast<double>(args.dim);
  std::vector<double> gain_gradients(args.gain_gradients.begin(), args.gain_gradients.end());
  std::vector<double> bias_gradients(args.bias_gradients.begin(), args.bias_gradients.end());
  for (std::size_t r = 0; r < args.rstd.size(); ++r) {
    const row_of_doubles row(args, r);
    double g_average = 0.0;
    double gx_average = 0.0;
    for (std::size_t c = 0; c < args.dim; ++c) {
      if (args.kind == norm_kind::layer) g_average += row.g[c] / n;
      gx_average += row.g[c] * row.xhat[c] / n;
      gain_gradients[c] += row.dy[c] * row.xhat[c];
      if (!bias_gradients.empty()) bias_gradients[c] += row.dy[c];
    }
    for (std::size_t c = 0; c < args.dim; ++c) {
      const double dx = row.rstd * (row.g[c] - g_average - row.xhat[c] * gx_average) + row.ds[c];
      args.x_gradients[r * args.dim + c] = static_cast<Value>(dx);
    }
  }
  for (std::size_t c = 0; c < args.dim; ++c) {
    args.gain_gradients[c] = static_cast<Value>(gain_gradients[c]);
    if (!bias_gradients.empty()) args.bias_gradients[c] = static_cast<Value>(bias_gradients[c]);
  }
}

}  // namespace

void layer_norm_forward_ref(const layer_norm_forward_args& args) { forward(args); }
void layer_norm_forward_ref(const basic_layer_norm_forward_args<double>& args) { forward(args); }
void layer_norm_backward_ref(const layer_norm_backward_args& args) { backward(args); }
void layer_norm_backward_ref(const basic_layer_norm_backward_args<double>& args) { backward(args); }

}  // namespace headrace::kernels
