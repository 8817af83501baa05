#include "kernels/moe_router/moe_router_launch.hpp"
#include "kernels/moe_router/router_cases.hpp"
#include "kernels/runtime/emulated_cases.hpp"

namespace headrace::kernels {
namespace {

/// moe_router on an emulated device.
struct forward_on_device {
  emulated_launch launch;

  router_report operator()(const moe_router_args& args) const {
    const auto tokens = static_cast<std::uint32_t>(args.lse.size());
    const auto experts = static_cast<std::uint32_t>(args.experts);
    const auto per_token = static_cast<std::uint32_t>(args.per_token);
    std::vector<double> memory(router_bytes(tokens, experts, per_token, true) / 8 + 1,
                               std::nan(""));
    device::router_numbers report{};
    launch_moe_router({.logits = args.logits.data(),
                       .bias = args.bias.empty() ? nullptr : args.bias.data(),
                       .probabilities = args.probabilities.data(),
                       .lse = args.lse.data(),
                       .mean_partials = nullptr,
                       .lse_partials = nullptr,
                       .chosen = args.chosen.data(),
                       .gates = args.gates.data(),
                       .loads = args.loads.data(),
                       .routes = args.routes.data(),
                       .tokens = tokens,
                       .experts = experts,
                       .per_token = per_token,
                       .renormalised = args.renormalised},
                      {.mean = args.mean_probabilities.data(),
                       .loads = args.loads.data(),
                       .lse_partials = nullptr,
                       .report = &report,
                       .tokens = tokens,
                       .experts = experts,
                       .per_token = per_token,
                       .capacity = static_cast<std::uint32_t>(args.capacity),
                       .warps = 0,
                       .balance = args.losses.balance,
                       .entropy = args.losses.entropy,
                       .z = args.losses.z},
                      cut_router_workspace(memory.data(), tokens, experts, per_token),
                      launch);
    return {report.balance_loss,
            report.entropy_loss,
            report.z_loss,
            report.utilisation,
            report.dropped};
  }
};

struct backward_on_device {
  emulated_launch launch;

  void operator()(const moe_router_backward_args& args) const {
    launch_moe_router_backward({.probabilities = args.probabilities.data(),
                                .lse = args.lse.data(),
                                .mean = args.mean_probabilities.data(),
                                .chosen = args.chosen.data(),
                                .gates = args.gates.data(),
                                .loads = args.loads.data(),
                                .routes = args.routes.data(),
                                .gate_gradients = args.gate_gradients.data(),
                                .logit_gradients = args.logit_gradients.data(),
                                .tokens = static_cast<std::uint32_t>(args.lse.size()),
                                .experts = static_cast<std::uint32_t>(args.experts),
                                .per_token = static_cast<std::uint32_t>(args.per_token),
                                .renormalised = args.renormalised,
                                .balance = args.losses.balance,
                                .entropy = args.losses.entropy,
                                .z = args.losses.z},
                               launch);
  }
};

template <class Check>
void for_each_batch(const Check& check) {
  for (const std::size_t tokens : {0U, 2U, 70U}) {
    for (const std::size_t experts : {1U, 4U, 33U, 130U, 256U}) {
      for (const std::size_t wanted : {1U, 2U, 8U, 32U}) {
        const std::size_t k = std::min<std::size_t>(wanted, experts);
        if (tokens > 2 && (k > 2 || experts > 33)) continue;
        if ((experts == 130 && k != 2) || (experts == 256 && k > 8)) continue;
        const std::size_t odd = tokens + experts + wanted;
        const router_shape shape = {.tokens = tokens,
                                    .experts = experts,
                                    .per_token = k,
                                    .capacity = odd % 2 == 0 ? 0 : tokens * k / experts + 1,
                                    .renormalised = odd % 3 != 0,
                                    .biased = odd % 5 < 2,
                                    .scale = 2.0F};
        SCOPED_TRACE(describe(shape));
        router_case<float> one(shape, test_seed() + odd);
        check(one);
      }
    }
  }
}

/// What was selected, given the probabilities as they were written: exact.
void expect_same_selection(router_case<float>& got) {
  for (std::size_t t = 0; t < got.shape.tokens; ++t) {
    const std::size_t row = t * got.shape.experts;
    const auto score = [&got, row](std::uint32_t e) {
      const float p = got.p.span()[row + e];
      return got.shape.biased ? p + got.bias.span()[e] : p;
    };
    std::vector<std::uint32_t> order(got.shape.experts);
    for (std::uint32_t e = 0; e < order.size(); ++e) order[e] = e;
    std::stable_sort(order.begin(), order.end(), [&score](std::uint32_t a, std::uint32_t b) {
      return score(a) > score(b);
    });
    for (std::size_t s = 0; s < got.shape.per_token; ++s) {
      ASSERT_EQ(got.chosen.span()[t * got.shape.per_token + s], order[s]) << "token " << t;
    }
  }
}

/// Which assignments have room, given the gates as they were written: exact.
void expect_same_routes(router_case<float>& got) {
  for (std::size_t i = 0; i < got.chosen.span().size(); ++i) {
    std::size_t before = 0;
    for (std::size_t j = 0; j < got.chosen.span().size(); ++j) {
      if (got.chosen.span()[j] != got.chosen.span()[i]) continue;
      const float mine = got.gates.span()[i];
      const float other = got.gates.span()[j];
      if (other > mine || (other == mine && j < i)) ++before;
    }
    const bool stays = got.shape.capacity == 0 || before < got.shape.capacity;
    ASSERT_EQ(got.routes.span()[i], stays ? got.chosen.span()[i] : no_expert) << "at " << i;
  }
}

TEST(MoeRouterKernel, IsTheReferencesForwardPass) {
  for_each_order([](const emulated_launch& launch) {
    for_each_batch([&launch](router_case<float>& got) {
      router_case<float> wanted = got;
      got.forward(forward_on_device{launch});
      wanted.forward(forward_ref);
      EXPECT_LE(relative_error<float>(got.p.span(), wanted.p.span()), 1e-5);
      EXPECT_LE(relative_error<float>(got.lse.span(), wanted.lse.span()), 1e-5);
      EXPECT_LE(relative_error<float>(got.mean.span(), wanted.mean.span()), 1e-5);
      expect_same_selection(got);
      expect_same_routes(got);
      if (!std::equal(
              got.chosen.span().begin(), got.chosen.span().end(), wanted.chosen.span().begin())) {
        return;  // two scores a rounding apart
      }
      EXPECT_LE(relative_error<float>(got.gates.span(), wanted.gates.span()), 1e-5);
      EXPECT_TRUE(same_bits<std::uint32_t>(got.loads.span(), wanted.loads.span()));
      EXPECT_EQ(got.report.dropped, wanted.report.dropped);
      EXPECT_NEAR(got.report.utilisation, wanted.report.utilisation, 1e-12);
      EXPECT_NEAR(got.report.balance_loss, wanted.report.balance_loss, 1e-5);
      EXPECT_NEAR(got.report.entropy_loss, wanted.report.entropy_loss, 1e-5);
      EXPECT_NEAR(got.report.z_loss, wanted.report.z_loss, 1e-5 * wanted.report.z_loss);
    });
  });
}

TEST(MoeRouterKernel, IsTheReferencesGradient) {
  for_each_order([](const emulated_launch& launch) {
    for_each_batch([&launch](router_case<float>& one) {
      one.forward(forward_ref);
      misaligned<float> got = one.backward(backward_on_device{launch});
      misaligned<float> wanted = one.backward(backward_ref);
      EXPECT_LE(relative_error<float>(got.span(), wanted.span()), 1e-5);
    });
  });
}

/// One expert takes all, with gates of few values: ties everywhere.
TEST(MoeCapacityKernel, KeepsTheLargestGatesAndTheLowestOfEqualOnes) {
  random_stream random(test_seed());
  for (const std::uint32_t n : {1U, 255U, 700U}) {
    for (const std::uint32_t capacity : {1U, 5U, 300U, 699U}) {
      std::vector<float> gates(n);
      std::vector<std::uint32_t> listed(n);
      for (std::uint32_t i = 0; i < n; ++i) {
        listed[i] = i;
        gates[i] = static_cast<float>(random.next_below(7)) / 7.0F;
      }
      const std::vector<std::uint32_t> offsets = {0, n};
      std::vector<std::uint32_t> routes(n, 0);
      emulate({.threads = device::capacity_threads, .shared_bytes = 1064, .seed = test_seed()},
              device::moe_capacity_kernel,
              device::capacity_view{
                  gates.data(), offsets.data(), listed.data(), routes.data(), capacity});
      std::stable_sort(listed.begin(), listed.end(), [&gates](std::uint32_t a, std::uint32_t b) {
        return gates[a] > gates[b];
      });
      for (std::uint32_t i = 0; i < n; ++i) {
        ASSERT_EQ(routes[listed[i]] == 0, i < capacity) << "at " << i << " of " << n;
      }
    }
  }
}

}  // namespace
}  // namespace headrace::kernels
