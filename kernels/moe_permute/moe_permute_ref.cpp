#include "base/check.hpp"
#include "kernels/moe_permute/moe_permute.hpp"

#include <algorithm>

namespace headrace::kernels {
namespace {

template <class Value>
void permute(const basic_moe_permute_args<Value>& args) {
  CHECK(args.x.size() == args.places.size() / args.per_token * args.dim);
  for (std::size_t s = 0; s < args.places.size(); ++s) {
    for (std::size_t i = 0; i < args.dim && args.places[s] != no_place; ++i) {
      args.rows[args.places[s] * args.dim + i] = args.x[s / args.per_token * args.dim + i];
    }
  }
}

template <class Value>
void combine(const basic_moe_combine_args<Value>& args) {
  const std::size_t tokens = args.places.size() / args.per_token;
  CHECK(args.y.size() == tokens * args.dim);
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t i = 0; i < args.dim; ++i) {
      double sum = 0.0;
      for (std::size_t s = t * args.per_token; s < (t + 1) * args.per_token; ++s) {
        if (args.places[s] == no_place) continue;
        const double g = args.gates.empty() ? 1.0 : static_cast<double>(args.gates[s]);
        sum += g * static_cast<double>(args.rows[args.places[s] * args.dim + i]);
      }
      args.y[t * args.dim + i] = static_cast<Value>(sum);
    }
  }
}

template <class Value>
void combine_backward(const basic_moe_combine_backward_args<Value>& args) {
  const std::size_t tokens = args.places.size() / args.per_token;
  CHECK(args.y_gradients.size() == tokens * args.dim);
  for (std::size_t s = 0; s < args.places.size(); ++s) {
    double gate_gradient = 0.0;
    for (std::size_t i = 0; i < args.dim && args.places[s] != no_place; ++i) {
      const std::size_t at = args.places[s] * args.dim + i;
      const double dy = static_cast<double>(args.y_gradients[s / args.per_token * args.dim + i]);
      gate_gradient += dy * static_cast<double>(args.rows[at]);
      args.row_gradients[at] = static_cast<Value>(static_cast<double>(args.gates[s]) * dy);
    }
    args.gate_gradients[s] = static_cast<Value>(gate_gradient);
  }
}

}  // namespace

void moe_plan_ref(const moe_plan_args& args) {
  CHECK(args.places.size() == args.routes.size());
  std::fill(args.places.begin(), args.places.end(), no_place);
  std::uint32_t place = 0;
  for (std::size_t e = 0; e + 1 < args.offsets.size(); ++e) {
    args.offsets[e] = place;
    for (std::size_t i = 0; i < args.routes.size(); ++i) {
      if (args.routes[i] != e) continue;
      args.places[i] = place++;
    }
  }
  args.offsets.back() = place;
}

void moe_permute_ref(const moe_permute_args& args) { permute(args); }
void moe_permute_ref(const basic_moe_permute_args<double>& args) { permute(args); }
void moe_combine_ref(const moe_combine_args& args) { combine(args); }
void moe_combine_ref(const basic_moe_combine_args<double>& args) { combine(args); }
void moe_combine_backward_ref(const moe_combine_backward_args& args) { combine_backward(args); }
void moe_combine_backward_ref(const basic_moe_combine_backward_args<double>& args) {
  combine_backward(args);
}

}  // namespace headrace::kernels
