#include "worker/model/graph_plan.hpp"

#include "base/random.hpp"
#include "worker/model/presets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

constexpr std::size_t none = planned_buffer::none;
const std::vector<model_feature> features = {{"a", false}, {"b", false}, {"x", true}, {"y", true}};

std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'261'127;
}

/// A random model: each layer reads one to three of those before it.
std::string random_model(random_stream& random) {
  std::string text = "[layers.l0]\nop = \"numbers\"\n";
  const std::size_t layers = 2 + random.next_below(12);
  std::vector<bool> read(layers + 1, false);
  const auto input = [&](std::size_t before) {
    const std::size_t chosen = random.next_below(before);
    read[chosen] = true;
    return "\"l" + std::to_string(chosen) + "\"";
  };
  for (std::size_t i = 1; i <= layers; ++i) {
    text += "[layers.l" + std::to_string(i) + "]\n";
    if (random.next_below(3) == 0) {
      text += "op = \"concat\"\ninputs = [" + input(i) + ", " + input(i) + ", " + input(i) + "]\n";
    } else {
      text += "op = \"linear\"\nactivation = \"" +
              std::string(random.next_below(2) == 0 ? "relu" : "silu") +
              "\"\nunits = " + std::to_string(1 + random.next_below(9)) + "\ninputs = [" +
              input(i) + "]\n";
    }
  }
  std::string rest;
  for (std::size_t i = 0; i <= layers; ++i)
    if (!read[i]) rest += (rest.empty() ? "\"l" : ", \"l") + std::to_string(i) + "\"";
  text += "[layers.all]\nop = \"concat\"\ninputs = [" + rest + "]\n";
  text += "[layers.logit]\nop = \"linear\"\nunits = 1\ninputs = [\"all\"]\n";
  return text + "[layers.click]\nop = \"bce\"\ninputs = [\"logit\"]\n";
}

std::size_t time_of(const graph_plan& plan, const plan_step& step) {
  const auto at = std::ranges::find(plan.steps(), step);
  return at == plan.steps().end() ? none : static_cast<std::size_t>(at - plan.steps().begin());
}

void expect_sound(const model_graph& graph, const graph_plan& plan) {
  const auto& buffers = plan.buffers();
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    EXPECT_LE(buffers[i].first, buffers[i].last);
    EXPECT_LT(buffers[i].last, plan.steps().size());
    EXPECT_EQ(buffers[i].offset % 16, 0U);
    EXPECT_LE(buffers[i].offset + buffers[i].floats, plan.arena_floats());
    for (std::size_t j = 0; j < i; ++j) {
      const bool at_once =
          buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last;
      const bool apart = buffers[i].offset + buffers[i].floats <= buffers[j].offset ||
                         buffers[j].offset + buffers[j].floats <= buffers[i].offset;
      EXPECT_TRUE(!at_once || apart) << buffers[i].what << " and " << buffers[j].what;
    }
  }
  // Whoever reads or writes a buffer does so while it is needed.
  const auto covers = [&](std::size_t buffer, std::size_t step) {
    return buffer == none || (buffers[buffer].first <= step && step <= buffers[buffer].last);
  };
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const auto& node = graph.nodes()[i];
    const std::size_t back = time_of(plan, {i, plan_step::pass::backward});
    EXPECT_EQ(time_of(plan, {i, plan_step::pass::forward}), i);
    EXPECT_TRUE(covers(plan.of(i).output, i) && covers(plan.of(i).saved, i));
    EXPECT_TRUE(covers(plan.of(i).saved_again, back));
    EXPECT_TRUE(covers(plan.of(i).output_gradient, back));
    if (node.body->backward_reads_output()) {
      EXPECT_TRUE(covers(plan.of(i).output_again, back));
    }
    const std::size_t again = time_of(plan, {i, plan_step::pass::again});
    EXPECT_EQ(again != none, plan.recomputes(i));
    if (again == none) {
      EXPECT_EQ(plan.of(i).output, plan.of(i).output_again);
      EXPECT_EQ(plan.of(i).saved, plan.of(i).saved_again);
    } else {
      EXPECT_LT(again, back);
      EXPECT_TRUE(covers(plan.of(i).output_again, again) && covers(plan.of(i).saved_again, again));
      EXPECT_TRUE(covers(plan.of(i).workspace_again, again));
    }
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
      EXPECT_TRUE(covers(plan.of(node.inputs[k]).output, i));
      if (again != none) {
        EXPECT_TRUE(covers(plan.of(node.inputs[k]).output_again, again));
      }
      if (node.learns && node.body->backward_reads_inputs()) {
        EXPECT_TRUE(covers(plan.of(node.inputs[k]).output_again, back));
      }
      EXPECT_TRUE(covers(plan.of(i).input_gradients[k].written, back));
      EXPECT_TRUE(covers(plan.of(i).input_gradients[k].added_to, back));
    }
  }
}

TEST(GraphPlan, GivesEachBufferMemoryOfItsOwnWhileItIsNeeded) {
  random_stream random(test_seed());
  for (int round = 0; round < 200; ++round) {
    const std::string text = random_model(random);
    const auto graph = model_graph::load(text, "random", {}, features);
    ASSERT_TRUE(graph.ok()) << describe(graph.error()) << "\n" << text;
    const std::size_t samples = 1 + random.next_below(100);
    SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(test_seed()) + "\n" + text);
    const graph_plan plan(*graph, samples);
    expect_sound(*graph, plan);
    const graph_plan smaller(*graph, samples, 0, precision::f32, activations::recompute);
    expect_sound(*graph, smaller);
    EXPECT_LE(smaller.arena_floats(), plan.arena_floats());
    if (HasFailure()) return;
  }
}

TEST(GraphPlan, WritesAGradientOnceAndAddsTheOtherParts) {
  const auto graph = load_preset("deepfm", features);
  ASSERT_TRUE(graph.ok());
  const graph_plan plan(*graph, 64);
  for (std::size_t i = 0; i < graph->nodes().size(); ++i) {
    if (plan.of(i).output_gradient == none) continue;
    std::size_t written = 0;
    for (const std::size_t j : graph->readers(i)) {
      for (std::size_t k = 0; k < graph->nodes()[j].inputs.size(); ++k) {
        if (graph->nodes()[j].inputs[k] != i) continue;
        const auto& gradient = plan.of(j).input_gradients[k];
        written += gradient.written == plan.of(i).output_gradient ? 1 : 0;
        if (gradient.written != plan.of(i).output_gradient) {
          EXPECT_EQ(gradient.added_to, plan.of(i).output_gradient);
        }
      }
    }
    EXPECT_EQ(written, 1U) << graph->nodes()[i].name;
  }
}

/// `layers` dense layers of 64, one after the other.
std::string tower(int layers) {
  std::string text = "[layers.l0]\nop = \"numbers\"\n";
  for (int i = 1; i <= layers; ++i) {
    text += "[layers.l" + std::to_string(i) + "]\nop = \"linear\"\nunits = 64\ninputs = [\"l" +
            std::to_string(i - 1) + "\"]\nactivation = \"gelu\"\n";
  }
  text += "[layers.logit]\nop = \"linear\"\nunits = 1\ninputs = [\"l" + std::to_string(layers) +
          "\"]\n";
  return text + "[layers.click]\nop = \"bce\"\ninputs = [\"logit\"]\n";
}

// Memory goes with the square root of the depth instead of the depth, for a forward pass more.
TEST(GraphPlan, RecomputesMostOfATowerInHalfTheMemory) {
  const auto graph = model_graph::load(tower(24), "tower", {}, features);
  ASSERT_TRUE(graph.ok()) << describe(graph.error());
  const graph_plan kept(*graph, 256);
  const graph_plan again(*graph, 256, 0, precision::f32, activations::recompute);
  EXPECT_LT(again.arena_floats(), kept.arena_floats() / 2);
  std::size_t recomputed = 0;
  for (std::size_t i = 0; i < graph->nodes().size(); ++i) {
    EXPECT_FALSE(kept.recomputes(i));
    recomputed += again.recomputes(i) ? 1 : 0;
  }
  EXPECT_GT(recomputed, 12U);
  EXPECT_EQ(again.steps().size(), 2 * graph->nodes().size() + recomputed);
}

TEST(GraphPlan, SharesMemoryBetweenBuffersOfDifferentTimes) {
  const auto graph = load_preset("deepfm", features);
  ASSERT_TRUE(graph.ok());
  const graph_plan plan(*graph, 512);
  EXPECT_LT(plan.arena_floats(), plan.floats_unshared() * 3 / 4);
}

}  // namespace
}  // namespace headrace::worker
