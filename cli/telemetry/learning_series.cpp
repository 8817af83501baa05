#include "cli/telemetry/learning_series.hpp"

#include <vector>

namespace headrace::cli {
namespace {

void say_head(const actors::head_figures& head, bool is_twin_frozen, metrics_page& page) {
  const auto about = [&](const char* name, const char* help, double now) {
    page.measure(name, help, now, {{"head", head.name}});
  };
  page.measure("headrace_model_auc",
               "AUC of predictions made before learning, by which samples.",
               head.auc,
               {{"head", head.name}, {"window", "all"}});
  about("headrace_model_logloss", "Logloss of predictions made before learning.", head.logloss);
  about("headrace_model_calibration_ratio",
        "Predicted positives for each real one.",
        head.calibration);
  if (!is_twin_frozen) return;
  const auto side = [&](const char* name, double auc, double logloss) {
    const metric_labels labels{{"head", head.name}, {"side", name}};
    page.measure("headrace_twin_auc",
                 "AUC since the twin was frozen, of the model that goes on and of the twin.",
                 auc,
                 labels);
    page.measure("headrace_twin_logloss",
                 "Logloss since the twin was frozen, of the model that goes on and of the twin.",
                 logloss,
                 labels);
  };
  side("online", head.auc_tail, head.logloss_tail);
  side("frozen", head.auc_frozen, head.logloss_frozen);
}

void say_model(const actors::progress& now, const std::string& head, metrics_page& page) {
  const bool is_twin_frozen = now.tail_samples > 0;
  page.measure("headrace_model_auc",
               "AUC of predictions made before learning, by which samples.",
               now.auc_recent,
               {{"head", head}, {"window", "recent"}});
  for (const auto& each : now.heads) say_head(each, is_twin_frozen, page);
  if (!now.heads.empty()) return;
  actors::head_figures only;
  only.name = head;
  only.auc = now.auc;
  only.logloss = now.logloss;
  only.calibration = now.calibration;
  only.auc_tail = now.auc_tail;
  only.logloss_tail = now.logloss_tail;
  only.auc_frozen = now.auc_frozen;
  only.logloss_frozen = now.logloss_frozen;
  say_head(only, is_twin_frozen, page);
}

void say_arithmetic(const actors::progress& now, metrics_page& page) {
  page.count("headrace_rows_not_finite_total",
             "Gradients of rows that were left out: not finite.",
             now.rows_not_finite);
  page.count("headrace_steps_not_finite_total",
             "Batches skipped: their loss or a gradient was not finite.",
             now.steps_not_finite);
  page.count("headrace_precision_checks_total",
             "Slices of layers that were computed again in f32.",
             now.precision_checks);
  page.count("headrace_precision_promotions_total",
             "Of those, off by so much that the layer went on in f32.",
             now.precision_promotions);
  page.measure("headrace_loss_scale", "Other than 1 in fp16.", now.loss_scale);
  if (now.routed_room == 0) return;
  page.count("headrace_expert_assignments_total", "Vectors sent to experts.", now.routed);
  page.count("headrace_expert_dropped_total", "Of those, that found no room.", now.routed_dropped);
  page.count("headrace_expert_room_total", "Vectors there was room for.", now.routed_room);
}

}  // namespace

void say_learning(const actors::progress& now, const std::string& head, metrics_page& page) {
  page.count("headrace_samples_learned_total",
             "Samples learned, over all runs of the state folder.",
             now.samples);
  page.count("headrace_history_samples_total",
             "Samples of older batches that were mixed into new ones.",
             now.history);
  page.count("headrace_batches_learned_total",
             "Batches learned, over all runs of the state folder.",
             now.batches);
  page.count("headrace_batches_voided_total", "Pushes refused for good by a shard.", now.refused);
  page.count(
      "headrace_pushes_resent_total", "Sections of pushes that were sent again.", now.resent);
  page.count("headrace_push_bytes_total", "Of pushes, as first sent.", now.push_bytes);
  page.measure("headrace_push_staleness_batches",
               "Versions between pull and push of the newest batch, the most over shards.",
               now.staleness);
  page.count("headrace_source_passes_total", "Passes over a replayed source.", now.passes);
  page.count("headrace_bad_rows_total", "Rows of the source that could not be read.", now.bad_rows);
  const auto available = [&page](const char* quantile, std::uint64_t ms) {
    page.measure("headrace_event_available_seconds",
                 "From accepted to training, of a batch's oldest event.",
                 static_cast<double>(ms) / 1'000,
                 {{"quantile", quantile}});
  };
  available("0.5", now.available_ms_p50);
  available("0.99", now.available_ms_p99);
  say_model(now, head, page);
  say_arithmetic(now, page);
}

actors::batch_durations batch_durations(metrics_registry& series) {
  const std::vector<double> bounds{
      0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5};
  return {series.histogram("headrace_pull_duration_seconds",
                           "From asking for a batch's rows until all are there.",
                           bounds),
          series.histogram(
              "headrace_learn_duration_seconds", "Forward and backward of a batch.", bounds),
          series.histogram("headrace_push_duration_seconds",
                           "From a batch's push until every shard has acknowledged it.",
                           bounds)};
}

}  // namespace headrace::cli
