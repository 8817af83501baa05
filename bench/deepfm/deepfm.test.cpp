#include "bench/deepfm/deepfm.hpp"

#include "bench/deepfm/job.hpp"
#include "bench/deepfm/locked_shards.hpp"
#include "bench/deepfm/loss_match.hpp"
#include "bench/deepfm/report.hpp"
#include "bench/deepfm/samples.hpp"
#include "bench/deepfm/training_thread.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>

namespace headrace::bench {
namespace {

using testing::HasSubstr;

deepfm_job job_of(std::uint32_t shards) {
  auto job = make_deepfm_job(shards);
  EXPECT_TRUE(job.ok()) << describe(job.error());
  return std::move(*job);
}

TEST(DeepfmBench, HasTheShapesOfThePeer) {
  std::map<std::string, std::pair<std::size_t, std::size_t>> shapes;
  const deepfm_job job = job_of(4);
  for (const auto& table : job.model->tables()) shapes[table.name] = {table.rows, table.dim};
  const std::map<std::string, std::pair<std::size_t, std::size_t>> wanted = {
      {"embedding", {0, 17}},
      {"bias", {1, 1}},
      {"deep1_weights", {429, 256}},
      {"deep1_bias", {1, 256}},
      {"deep2_weights", {256, 128}},
      {"deep2_bias", {1, 128}},
      {"deep3_weights", {128, 1}},
      {"deep3_bias", {1, 1}}};
  EXPECT_EQ(shapes, wanted);
}

TEST(DeepfmBench, DrawsZipfIdsUniformNumbersAndAQuarterOfClicks) {
  const auto batches = make_deepfm_batches(1'000, 20'500);
  ASSERT_EQ(batches.size(), 20U);
  double clicks = 0;
  double numbers = 0;
  std::map<std::uint64_t, int> of_first_field;
  for (const auto& batch : batches) {
    clicks += std::accumulate(batch->labels.begin(), batch->labels.end(), 0.0);
    for (std::size_t s = 0; s < batch->samples; ++s) {
      const std::size_t at = s * batch->features;
      ++of_first_field[batch->keys[at]];
      EXPECT_LT(batch->keys[at + deepfm_fields - 1], deepfm_rows);
      EXPECT_EQ(batch->values[at], 1.0F);
      numbers += batch->values[at + deepfm_fields];
    }
  }
  EXPECT_NEAR(clicks / 20'000, 0.25, 0.02);
  EXPECT_NEAR(numbers / 20'000, 0.5, 0.02);
  // The share of rank 1: 1 / sum of i^-1.05 over a million, which is 10.56.
  const auto top =
      std::ranges::max_element(of_first_field, {}, [](const auto& entry) { return entry.second; });
  EXPECT_NEAR(top->second / 20'000.0, 1 / 10.56, 0.01);
}

TEST(DeepfmBench, LearnsThroughTheShards) {
  const deepfm_job job = job_of(4);
  locked_shards shards(job.schema);
  ASSERT_TRUE(shards.fill(10'000).ok());
  const auto batches = make_deepfm_batches(64, 128);
  const auto first = make_ps_thread(job, shards, {batches[0]}, 0);
  const auto second = make_ps_thread(job, shards, {batches[1]}, 1);
  for (int i = 0; i < 3; ++i) {
    for (const auto& thread : {first.get(), second.get()}) {
      const auto done = thread->step();
      ASSERT_TRUE(done.ok()) << describe(done.error());
      EXPECT_EQ(*done, 64U);
    }
  }
  for (const double part : first->clock.spent()) EXPECT_GT(part, 0.0);
}

TEST(DeepfmBench, LearnsDirectly) {
  const auto thread = make_direct_thread(job_of(1), make_deepfm_batches(700, 1'400));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(thread->step().value(), 700U);
}

TEST(DeepfmBench, LearnsInBf16WhatItLearnsInF32) {
  const auto same = match_losses(job_of(4), worker::precision::f32, 2);
  ASSERT_TRUE(same.ok()) << describe(same.error());
  EXPECT_EQ(same->difference(), 0);
  const auto half = match_losses(job_of(4), worker::precision::bf16, 4);
  ASSERT_TRUE(half.ok()) << describe(half.error());
  EXPECT_EQ(half->in_f32, match_losses(job_of(4), worker::precision::f32, 4)->in_f32);
  EXPECT_NE(half->difference(), 0);
  EXPECT_TRUE(half->matches()) << half->difference();
  EXPECT_FALSE((loss_match{0.5, 0.5006}.matches()));
  EXPECT_FALSE((loss_match{0.5, std::nan("")}.matches()));
}

TEST(DeepfmBench, SaysWhatItMultipliesInAndWhetherThereIsAmx) {
  deepfm_report report;
  report.ours = {1};
  report.precision = worker::precision::bf16;
  report.losses = {0.5, 0.5001};
  EXPECT_THAT(to_json(report), HasSubstr(R"("precision":"bf16","amx":false,"emulated":true)"));
  EXPECT_THAT(to_json(report), HasSubstr(R"("loss_matches_f32":true)"));
  EXPECT_THAT(to_table(report), HasSubstr("precision bf16, emulated: slower here than f32"));
  report.machine = kernels::half_machine::amx;
  EXPECT_THAT(to_json(report), HasSubstr(R"("amx":true,"emulated":false)"));
}

TEST(DeepfmBench, WatchesTheLayersOfEachStep) {
  const deepfm_job job = job_of(4);
  locked_shards shards(job.schema);
  ASSERT_TRUE(shards.fill(10'000).ok());
  const auto thread = make_ps_thread(job, shards, make_deepfm_batches(64, 64), 0);
  ASSERT_TRUE(thread->step().ok());
  EXPECT_TRUE(thread->layers.spent().empty());
  thread->watch_layers();
  thread->clock.clear();
  ASSERT_TRUE(thread->step().ok());
  const auto nodes = job.model->nodes();
  double layers = 0.0;
  for (std::size_t i = 0; i < thread->layers.spent().size(); ++i) {
    const auto& spent = thread->layers.spent()[i];
    if (nodes[i].op == "linear") {
      EXPECT_GT(spent.forward, 0.0) << nodes[i].name;
      EXPECT_GT(spent.backward, 0.0) << nodes[i].name;
    }
    layers += spent.forward + spent.backward;
  }
  EXPECT_GT(layers, 0.0);
  EXPECT_LE(layers, thread->clock.spent()[static_cast<std::size_t>(step_part::learn)]);
}

TEST(DeepfmBench, SaysWhatOfAStepIsNotInLinearLayers) {
  deepfm_report report;
  report.options.profile = true;
  report.ours = {1000};
  report.spent[static_cast<std::size_t>(step_part::learn)] = 6;
  report.spent[static_cast<std::size_t>(step_part::commit)] = 2;
  report.layers = {{"deep", "linear", {1, 2}}, {"fm", "factorization", {0.5, 0.5}}};
  const std::string json = to_json(report);
  EXPECT_THAT(json, HasSubstr(R"("non_gemm_share":0.625)"));
  EXPECT_THAT(json, HasSubstr(R"({"name":"deep","op":"linear","forward":0.125,"backward":0.25})"));
  EXPECT_THAT(to_table(report), HasSubstr("62.5 %  of a step is not in linear layers"));
}

TEST(DeepfmBench, LeavesTheRatioOutWherePytorchIsNot) {
  deepfm_report report;
  report.ours = {1000, 3000, 2000};
  report.peer = "no module";
  EXPECT_THAT(to_json(report), HasSubstr(R"("samples_per_second":2000,)"));
  EXPECT_THAT(to_json(report), HasSubstr(R"("ratio_to_pytorch":null,"pytorch":"no module")"));
  EXPECT_THAT(to_table(report), HasSubstr("not there (no module)"));
}

TEST(DeepfmBench, ComparesWithTheBetterPeerOfEachRound) {
  deepfm_report report;
  report.ours = {1000, 3000, 2000};
  report.pytorch = {{1, {1000, 500, 1000}}, {2, {800, 1000, 500}}};
  EXPECT_THAT(to_json(report),
              HasSubstr(R"("ratio_to_pytorch":2,"ratio_to_pytorch_spread":[1,3])"));
  EXPECT_THAT(to_json(report), HasSubstr(R"("pytorch_by_threads":{"1":1000,"2":800})"));
}

}  // namespace
}  // namespace headrace::bench
