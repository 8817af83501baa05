#pragma once

#include "kernels/moe_router/moe_router.hpp"
#include "kernels/runtime/test_cases.hpp"

/// What the tests of the router draw from.
namespace headrace::kernels {

constexpr double unit_roundoff = 0x1p-24;

struct router_shape {
  std::size_t tokens = 1;
  std::size_t experts = 1;
  std::size_t per_token = 1;
  std::size_t capacity = 0;
  bool renormalised = true;
  bool biased = false;
  float scale = 2.0F;
};

inline std::string describe(const router_shape& s) {
  return std::to_string(s.tokens) + " tokens, " + std::to_string(s.experts) + " experts, top " +
         std::to_string(s.per_token) + ", capacity " + std::to_string(s.capacity) +
         (s.renormalised ? ", renormalised" : "") + (s.biased ? ", biased" : "") + ", scale " +
         std::to_string(s.scale);
}

constexpr router_losses all_losses = {.balance = 0.3, .entropy = 0.2, .z = 0.05};

/// One batch and all that a router makes of it; floats lie misaligned.
template <class Value>
struct router_case {
  router_case(const router_shape& s, std::uint64_t seed)
      : shape(s),
        logits(s.tokens * s.experts),
        bias(s.biased ? s.experts : 0),
        gate_gradients(s.tokens * s.per_token) {
    random_stream random(seed);
    for (Value& z : logits.span()) {
      z = static_cast<Value>(random.next_below(8) == 0 ? 0.5F : next_signed(random, s.scale));
    }
    for (Value& b : bias.span()) b = static_cast<Value>(next_signed(random, 0.2F));
    for (Value& g : gate_gradients.span()) g = static_cast<Value>(next_signed(random));
  }

  /// Everything that is written holds NaN, or no expert, beforehand.
  template <class Forward>
  void forward(const Forward& op) {
    constexpr Value nan = std::numeric_limits<Value>::quiet_NaN();
    p = misaligned<Value>(logits.span().size(), nan);
    lse = misaligned<Value>(shape.tokens, nan);
    mean = misaligned<Value>(shape.experts, nan);
    gates = misaligned<Value>(gate_gradients.span().size(), nan);
    chosen = misaligned<std::uint32_t>(gates.span().size(), 77777);
    routes = chosen;
    loads = misaligned<std::uint32_t>(shape.experts, 77777);
    misaligned<std::uint32_t> workspace(
        moe_router_workspace(shape.tokens, shape.experts, shape.per_token, shape.capacity), 77777);
    report = op(basic_moe_router_args<Value>{.logits = logits.span(),
                                             .bias = bias.span(),
                                             .experts = shape.experts,
                                             .per_token = shape.per_token,
                                             .capacity = shape.capacity,
                                             .renormalised = shape.renormalised,
                                             .losses = all_losses,
                                             .probabilities = p.span(),
                                             .lse = lse.span(),
                                             .mean_probabilities = mean.span(),
                                             .chosen = chosen.span(),
                                             .gates = gates.span(),
                                             .loads = loads.span(),
                                             .routes = routes.span(),
                                             .workspace = workspace.span()});
  }

  template <class Backward>
  misaligned<Value> backward(const Backward& op) const {
    misaligned<Value> out(logits.span().size(), std::numeric_limits<Value>::quiet_NaN());
    misaligned<Value> workspace(shape.experts);
    op(basic_moe_router_backward_args<Value>{.experts = shape.experts,
                                             .per_token = shape.per_token,
                                             .renormalised = shape.renormalised,
                                             .losses = all_losses,
                                             .probabilities = p.span(),
                                             .lse = lse.span(),
                                             .mean_probabilities = mean.span(),
                                             .chosen = chosen.span(),
                                             .gates = gates.span(),
                                             .loads = loads.span(),
                                             .routes = routes.span(),
                                             .gate_gradients = gate_gradients.span(),
                                             .logit_gradients = out.span(),
                                             .workspace = workspace.span()});
    return out;
  }

  router_shape shape;
  misaligned<Value> logits;
  misaligned<Value> bias;
  misaligned<Value> gate_gradients;
  misaligned<Value> p{0};
  misaligned<Value> lse{0};
  misaligned<Value> mean{0};
  misaligned<Value> gates{0};
  misaligned<std::uint32_t> chosen{0};
  misaligned<std::uint32_t> routes{0};
  misaligned<std::uint32_t> loads{0};
  router_report report;
};

inline const auto forward_ref = [](const auto& args) { return moe_router_ref(args); };
inline const auto forward_cpu = [](const moe_router_args& args) { return moe_router_cpu(args); };
inline const auto backward_ref = [](const auto& args) { moe_router_backward_ref(args); };
inline const auto backward_cpu = [](const moe_router_backward_args& args) {
  moe_router_backward_cpu(args);
};

inline misaligned<double> widened(const misaligned<float>& values) {
  misaligned<double> wide(values.span().size());
  std::copy(values.span().begin(), values.span().end(), wide.span().begin());
  return wide;
}

/// The inputs of a case as doubles; with them what forward left, for backward alone.
inline router_case<double> widened(const router_case<float>& one) {
  router_case<double> wide(one.shape, 0);
  wide.logits = widened(one.logits);
  wide.bias = widened(one.bias);
  wide.gate_gradients = widened(one.gate_gradients);
  wide.p = widened(one.p);
  wide.lse = widened(one.lse);
  wide.mean = widened(one.mean);
  wide.gates = widened(one.gates);
  wide.chosen = one.chosen;
  wide.routes = one.routes;
  wide.loads = one.loads;
  return wide;
}

template <class Check>
void for_each_case(const Check& check) {
  for (const std::size_t tokens : {0U, 1U, 3U, 300U}) {
    for (const std::size_t experts : {1U, 2U, 3U, 4U, 7U, 8U, 9U, 16U, 17U, 33U, 130U}) {
      for (const std::size_t wanted : {1U, 2U, 5U, 200U}) {
        const std::size_t k = std::min<std::size_t>(wanted, experts);
        if (k > 5 && tokens > 3) continue;  // the reference is slow there
        const std::size_t odd = tokens + experts + wanted;
        const router_shape shape = {.tokens = tokens,
                                    .experts = experts,
                                    .per_token = k,
                                    .capacity = odd % 2 == 0 ? 0 : tokens * k / experts + 1,
                                    .renormalised = odd % 3 != 0,
                                    .biased = odd % 5 < 2,
                                    .scale = odd % 7 == 0 ? 30.0F : 2.0F};
        SCOPED_TRACE(describe(shape));
        router_case<float> one(shape, test_seed() + odd);
        check(one);
      }
    }
  }
}

inline double at(const misaligned<float>& values, std::size_t i) {
  return static_cast<double>(values.span()[i]);
}

}  // namespace headrace::kernels
