#include "kernels/grouped_ffn/grouped_ffn.hpp"
#include "kernels/linear/linear.hpp"
#include "kernels/loss_scaler/finite_check.hpp"
#include "kernels/moe_permute/moe_permute.hpp"
#include "kernels/moe_router/moe_router.hpp"
#include "worker/model/ops/arena_parts.hpp"
#include "worker/model/ops/inputs.hpp"
#include "worker/model/ops/ops.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace headrace::worker {
namespace {

using kernels::ffn_form;

constexpr std::size_t width_max = 1024;  // of a row of a table

struct routing {
  std::size_t per_token = 2;      // k
  double capacity_factor = 1.25;  // of an even share
  kernels::router_losses losses;  // weights of a token
};

// Each vector by the k nets of E that a router finds best for it: y = Σ g_e FFN_e(x), over the k
// largest of softmax(x W_r), g their shares of each other (Shazeer et al., arXiv 1701.06538).
//
// Input and output [rows, dim]. While it learns, an expert has room for ⌈capacity_factor rows k /
// E⌉ of a chunk and drops its smallest gates beyond (Fedus et al., arXiv 2101.03961); a prediction
// drops nothing, so it does not depend on what stands beside it. Losses of the router are added to
// the gradients, not to the loss that is reported.
class routed_experts_layer final : public layer {
 public:
  routed_experts_layer(const value_shape& input,
                       const kernels::ffn_sizes& sizes,
                       const routing& how)
      : sizes_(sizes), how_(how) {
    output = input;
  }
  std::size_t saved(std::size_t rows) const override {
    arena_parts parts;
    kept_in(parts, rows);
    return parts.taken();
  }
  std::size_t workspace(std::size_t rows) const override {
    arena_parts parts;
    scratch_in(parts, rows);
    return parts.taken();
  }
  bool backward_reads_inputs() const override { return true; }
  layer_cost cost(std::size_t rows) const override {
    const std::size_t products = sizes_.form == ffn_form::swiglu ? 3 : 2;
    const std::size_t row =
        sizes_.dim * (sizes_.experts + how_.per_token * products * sizes_.hidden);
    const double forward = 2.0 * static_cast<double>(rows * row);
    return {forward, 2.0 * forward};
  }

  double forward(const layer_run& run) const override {
    if (run.samples == 0) return 0.0;
    const kept_parts kept = kept_of(run);
    const scratch_parts room = scratch_of(run);
    const bool finite = route(run, kept, room);
    const std::size_t placed = place(run, kept, room);
    kernels::grouped_ffn({.sizes = sizes_,
                          .offsets = kept.offsets,
                          .x = room.rows.first(placed * sizes_.dim),
                          .w1 = run.parameters[1],
                          .w3 = third_of(run.parameters),
                          .w2 = run.parameters[2],
                          .first = kept.first.first(placed * sizes_.hidden),
                          .third = hidden_of(kept.third, placed),
                          .y = kept.out.first(placed * sizes_.dim),
                          .workspace = room.products});
    kernels::moe_combine({.rows = kept.out.first(placed * sizes_.dim),
                          .places = kept.places,
                          .gates = kept.gates,
                          .per_token = how_.per_token,
                          .dim = sizes_.dim,
                          .y = run.output});
    // No route is right for what is no number: the loss then is none, and the step is skipped.
    if (!finite) std::ranges::fill(run.output, std::numeric_limits<float>::quiet_NaN());
    return 0.0;
  }

  void backward(const layer_run& run) const override {
    if (run.samples == 0) return;
    const kept_parts kept = kept_of(run);
    const scratch_parts room = scratch_of(run);
    const std::size_t placed = kept.offsets.back();
    const auto rows = kept.out.first(placed * sizes_.dim);  // outputs, then gradients of both ends
    kernels::moe_combine_backward({.rows = rows,
                                   .places = kept.places,
                                   .gates = kept.gates,
                                   .per_token = how_.per_token,
                                   .dim = sizes_.dim,
                                   .y_gradients = run.output_gradient,
                                   .row_gradients = rows,
                                   .gate_gradients = room.gates});
    permute(run, kept, room, placed);
    kernels::grouped_ffn_backward({.sizes = sizes_,
                                   .offsets = kept.offsets,
                                   .x = room.rows.first(placed * sizes_.dim),
                                   .w1 = run.parameters[1],
                                   .w3 = third_of(run.parameters),
                                   .w2 = run.parameters[2],
                                   .first = kept.first.first(placed * sizes_.hidden),
                                   .third = hidden_of(kept.third, placed),
                                   .y_gradients = rows,
                                   .x_gradients = rows,
                                   .w1_gradients = run.parameter_gradients[1],
                                   .w3_gradients = third_of(run.parameter_gradients),
                                   .w2_gradients = run.parameter_gradients[2],
                                   .workspace = room.products});
    route_back(run, kept, room);
    const std::span<float> dx = run.input_gradients[0];
    if (dx.empty()) return;
    const auto from_experts = room.rows.first(dx.size());
    kernels::moe_combine({.rows = rows,
                          .places = kept.places,
                          .per_token = how_.per_token,
                          .dim = sizes_.dim,
                          .y = from_experts});
    for (std::size_t i = 0; i < dx.size(); ++i) dx[i] += from_experts[i];
  }

 private:
  /// From forward to backward; places are [rows, k].
  struct kept_parts {
    std::span<float> probabilities, lse, mean, gates;
    std::span<std::uint32_t> chosen, loads, routes, offsets, places;
    std::span<float> first, third, out;  // of each place: [hidden], [hidden], [dim]
  };
  kept_parts kept_in(arena_parts& parts, std::size_t rows) const {
    const std::size_t places = rows * how_.per_token;
    const std::size_t hidden = places * sizes_.hidden;
    kept_parts kept;
    kept.probabilities = parts.floats(rows * sizes_.experts);
    kept.lse = parts.floats(rows);
    kept.mean = parts.floats(sizes_.experts);
    kept.gates = parts.floats(places);
    kept.chosen = parts.words(places);
    kept.loads = parts.words(sizes_.experts);
    kept.routes = parts.words(places);
    kept.offsets = parts.words(sizes_.experts + 1);
    kept.places = parts.words(places);
    kept.first = parts.floats(hidden);
    kept.third = parts.floats(sizes_.form == ffn_form::swiglu ? hidden : 0);
    kept.out = parts.floats(places * sizes_.dim);
    return kept;
  }
  kept_parts kept_of(const layer_run& run) const {
    arena_parts parts(run.saved);
    return kept_in(parts, run.samples);
  }

  struct scratch_parts {
    std::span<float> rows;           // [places, dim], inputs in the order of experts
    std::span<float> logits, gates;  // and their gradients
    std::span<float> costs, products;
    std::span<std::uint32_t> words;  // of the router
  };
  scratch_parts scratch_in(arena_parts& parts, std::size_t rows) const {
    const std::size_t places = rows * how_.per_token;
    const std::size_t dim = sizes_.dim;
    const std::size_t experts = sizes_.experts;
    scratch_parts room;
    room.rows = parts.floats(places * dim);
    room.logits = parts.floats(rows * experts);
    room.gates = parts.floats(places);
    room.costs = parts.floats(experts);
    room.words = parts.words(kernels::moe_router_workspace(rows, experts, how_.per_token, 1));
    room.products = parts.floats(std::max(kernels::linear_workspace(rows, dim, experts),
                                          kernels::grouped_ffn_workspace(sizes_, places)));
    return room;
  }
  scratch_parts scratch_of(const layer_run& run) const {
    arena_parts parts(run.workspace);
    return scratch_in(parts, run.samples);
  }

  // The third matrix is swiglu's.
  template <class Value>
  std::span<Value> third_of(std::span<const std::span<Value>> of) const {
    return sizes_.form == ffn_form::swiglu ? of[3] : std::span<Value>();
  }
  std::span<float> hidden_of(std::span<float> third, std::size_t placed) const {
    return third.empty() ? third : third.first(placed * sizes_.hidden);
  }

  std::size_t capacity(std::size_t rows) const {
    const auto even =
        static_cast<double>(rows * how_.per_token) / static_cast<double>(sizes_.experts);
    return std::max<std::size_t>(1,
                                 static_cast<std::size_t>(std::ceil(how_.capacity_factor * even)));
  }

  /// Losses as weights of a sum over the rows, as the loss of a model is one.
  kernels::router_losses losses(std::size_t rows) const {
    const auto n = static_cast<double>(rows);
    return {how_.losses.balance * n, how_.losses.entropy * n, how_.losses.z * n};
  }

  /// Chooses experts. False where a logit is not finite: the choice is then that of zeros.
  bool route(const layer_run& run, const kept_parts& kept, const scratch_parts& room) const {
    kernels::linear_forward({.x = run.inputs[0],
                             .weights = run.parameters[0],
                             .rows = run.samples,
                             .in = sizes_.dim,
                             .out = sizes_.experts,
                             .y = room.logits,
                             .workspace = room.products});
    const bool finite = kernels::all_finite(room.logits);
    if (!finite) std::ranges::fill(room.logits, 0.0F);
    const std::size_t places = capacity(run.samples);
    const auto report = kernels::moe_router({.logits = room.logits,
                                             .experts = sizes_.experts,
                                             .per_token = how_.per_token,
                                             .capacity = run.learning ? places : 0,
                                             .losses = losses(run.samples),
                                             .probabilities = kept.probabilities,
                                             .lse = kept.lse,
                                             .mean_probabilities = kept.mean,
                                             .chosen = kept.chosen,
                                             .gates = kept.gates,
                                             .loads = kept.loads,
                                             .routes = kept.routes,
                                             .workspace = room.words});
    if (run.routed != nullptr) {
      run.routed->assigned += run.samples * how_.per_token;
      run.routed->dropped += report.dropped;
      run.routed->room += sizes_.experts * places;
    }
    return finite;
  }

  /// Brings the rows into the order of their experts; returns how many there are.
  std::size_t place(const layer_run& run, const kept_parts& kept, const scratch_parts& room) const {
    kernels::moe_plan({.routes = kept.routes,
                       .per_token = how_.per_token,
                       .offsets = kept.offsets,
                       .places = kept.places});
    permute(run, kept, room, kept.offsets.back());
    return kept.offsets.back();
  }
  void permute(const layer_run& run,
               const kept_parts& kept,
               const scratch_parts& room,
               std::size_t placed) const {
    kernels::moe_permute({.x = run.inputs[0],
                          .places = kept.places,
                          .per_token = how_.per_token,
                          .dim = sizes_.dim,
                          .rows = room.rows.first(placed * sizes_.dim)});
  }

  /// From the gradients of the gates to those of the logits, the router's matrix and its input.
  void route_back(const layer_run& run, const kept_parts& kept, const scratch_parts& room) const {
    kernels::moe_router_backward({.experts = sizes_.experts,
                                  .per_token = how_.per_token,
                                  .losses = losses(run.samples),
                                  .probabilities = kept.probabilities,
                                  .lse = kept.lse,
                                  .mean_probabilities = kept.mean,
                                  .chosen = kept.chosen,
                                  .gates = kept.gates,
                                  .loads = kept.loads,
                                  .routes = kept.routes,
                                  .gate_gradients = room.gates,
                                  .logit_gradients = room.logits,
                                  .workspace = room.costs});
    kernels::linear_backward({.x = run.inputs[0],
                              .weights = run.parameters[0],
                              .dy = room.logits,
                              .rows = run.samples,
                              .in = sizes_.dim,
                              .out = sizes_.experts,
                              .dx = run.input_gradients[0],
                              .dweights = run.parameter_gradients[0],
                              .workspace = room.products});
  }

  kernels::ffn_sizes sizes_;
  routing how_;
};

routing read_routing(const layer_section& section, std::size_t experts) {
  auto& config = section.config;
  routing how;
  how.per_token = static_cast<std::size_t>(config.whole(section.key("k"), 2, {1, 8}));
  if (how.per_token > experts)
    config.refuse(section.key("k"),
                  "each vector goes to " + std::to_string(how.per_token) + " of " +
                      std::to_string(experts) + " experts; k is at most their number");
  const std::string capacity = section.key("capacity_factor");
  how.capacity_factor = config.number(capacity, 1.25, {0.0, 1e6});
  if (!(how.capacity_factor > 0.0))
    config.refuse(
        capacity,
        "experts with room for nothing learn nothing; 1.25 is a quarter more than an even "
        "share, and " +
            std::to_string((experts + how.per_token - 1) / how.per_token) + " drops nothing");
  how.losses.balance = config.number(section.key("balance"), 0.01, {0.0, 1e3});
  how.losses.entropy = config.number(section.key("entropy"), 0.0, {0.0, 1e3});
  how.losses.z = config.number(section.key("z"), 0.001, {0.0, 1e3});
  return how;
}

}  // namespace

result<std::unique_ptr<layer>> make_routed_experts(const layer_section& section) {
  auto& config = section.config;
  const auto experts = static_cast<std::size_t>(config.whole(section.key("experts"), 8, {2, 256}));
  const auto hidden = config.optional_whole(section.key("hidden"), {1, width_max});
  const auto form = config.choice<ffn_form>(
      section.key("form"), "swiglu", {{"swiglu", ffn_form::swiglu}, {"relu", ffn_form::relu}});
  const routing how = read_routing(section, experts);
  std::string router = section.table("router");
  std::string first = section.table("first");
  std::string second = section.table("second");
  std::string third = form == ffn_form::swiglu ? section.table("third") : std::string();
  if (auto fits = expect_alike(section, 1, 1); !fits) return fits.error();
  if (!hidden) return error{errc::bad_config, "hidden is missing: how wide an expert is, 1 … 1024"};
  const std::size_t dim = section.inputs[0].columns();
  if (dim > width_max)
    return error{
        errc::bad_config,
        "takes at most 1024 values in a row; its input has " + describe(section.inputs[0])};
  const kernels::ffn_sizes sizes = {form, experts, dim, static_cast<std::size_t>(*hidden)};
  auto made = std::make_unique<routed_experts_layer>(section.inputs[0], sizes, how);
  const auto scale = [](std::size_t in, std::size_t out) {  // Glorot and Bengio 2010, eq. 16
    return std::sqrt(6.0F / static_cast<float>(in + out));
  };
  // An expert is `block_rows` rows of each of its tables.
  const auto expert_table = [&](std::string name, std::size_t in, std::size_t out) {
    parameter_spec made_of = {std::move(name), experts * in, out, scale(in, out)};
    made_of.block_rows = in;
    return made_of;
  };
  made->parameters = {{std::move(router), dim, experts, scale(dim, experts)},
                      expert_table(std::move(first), dim, sizes.hidden),
                      expert_table(std::move(second), sizes.hidden, dim)};
  if (form == ffn_form::swiglu)
    made->parameters.push_back(expert_table(std::move(third), dim, sizes.hidden));
  return std::unique_ptr<layer>(std::move(made));
}

}  // namespace headrace::worker
