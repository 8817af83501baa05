#include "base/check.hpp"
#include "kernels/gate_mix/gate_mix.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace headrace::kernels {
namespace {

template <class Value>
std::vector<double> softmax(std::span<const Value> logits) {
  const double largest = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  std::vector<double> gates;
  double total = 0.0;
  for (const Value logit : logits) {
    gates.push_back(std::exp(static_cast<double>(logit) - largest));
    total += gates.back();
  }
  for (double& gate : gates) gate /= total;
  return gates;
}

template <class Value>
void forward(const basic_gate_mix_args<Value>& args) {
  CHECK(args.experts > 0);
  for (std::size_t r = 0; r < args.gate_logits.size() / args.experts; ++r) {
    const std::size_t first = r * args.experts;
    const std::vector<double> gates = softmax(args.gate_logits.subspan(first, args.experts));
    std::vector<double> sums(args.dim);
    for (std::size_t e = 0; e < args.experts; ++e) {
      args.gates[first + e] = static_cast<Value>(gates[e]);
      for (std::size_t k = 0; k < args.dim; ++k) {
        sums[k] += gates[e] * static_cast<double>(args.expert_outputs[(first + e) * args.dim + k]);
      }
    }
    for (std::size_t k = 0; k < args.dim; ++k) {
      args.outputs[r * args.dim + k] = static_cast<Value>(sums[k]);
    }
  }
}

template <class Value>
void backward(const basic_gate_mix_backward_args<Value>& args) {
  CHECK(args.experts > 0);
  for (std::size_t r = 0; r < args.gates.size() / args.experts; ++r) {
    const std::size_t first = r * args.experts;
    std::vector<double> products(args.experts);
    double mean = 0.0;
    for (std::size_t e = 0; e < args.experts; ++e) {
      const double gate = static_cast<double>(args.gates[first + e]);
      for (std::size_t k = 0; k < args.dim; ++k) {
        const std::size_t at = (first + e) * args.dim + k;
        const double d = static_cast<double>(args.output_gradients[r * args.dim + k]);
        products[e] += d * static_cast<double>(args.expert_outputs[at]);
        args.expert_gradients[at] = static_cast<Value>(gate * d);
      }
      mean += gate * products[e];
    }
    for (std::size_t e = 0; e < args.experts; ++e) {
      const double gate = static_cast<double>(args.gates[first + e]);
      args.gate_logit_gradients[first + e] = static_cast<Value>(gate * (products[e] - mean));
    }
  }
}

}  // namespace

void gate_mix_ref(const gate_mix_args& args) { forward(args); }
void gate_mix_ref(const basic_gate_mix_args<double>& args) { forward(args); }

void gate_mix_backward_ref(const gate_mix_backward_args& args) { backward(args); }
void gate_mix_backward_ref(const basic_gate_mix_backward_args<double>& args) { backward(args); }

}  // namespace headrace::kernels
