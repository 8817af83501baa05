#include "cli/job/job_file.hpp"
#include "cli/job/model_section.hpp"
#include "cli/job/read_text.hpp"
#include "cli/plan_view.hpp"
#include "cli/verbs.hpp"
#include "worker/model/graph_model.hpp"
#include "worker/model/presets.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headrace::cli {
namespace {

struct explain_flags {
  std::string model;
  std::filesystem::path job;
  std::vector<std::string> overrides;
  std::size_t ids = 26;
  std::size_t numbers = 13;
  std::uint32_t list_max = 50;
  std::size_t batch = worker::graph_model::chunk_samples;
  std::string activations;
  std::filesystem::path svg;
  std::string precision;
  bool json = false;
};

std::vector<worker::model_feature> made_up_features(const explain_flags& flags) {
  std::vector<worker::model_feature> features;
  for (std::size_t i = 1; i <= flags.numbers; ++i)
    features.push_back({"number" + std::to_string(i), true});
  // The last id and the list have the names that presets over lists use.
  for (std::size_t i = 1; i < flags.ids; ++i) features.push_back({"id" + std::to_string(i), false});
  if (flags.ids > 0) features.push_back({"item", false});
  if (flags.list_max > 0) features.push_back({"history", false, flags.list_max});
  return features;
}

// How the job trains, where there is one, into `train`; flags stand before it.
result<worker::model_graph> load_model(const explain_flags& flags, train_spec& train) {
  std::vector<worker::model_feature> features = made_up_features(flags);
  std::vector<std::string> labels;
  if (!flags.job.empty()) {
    const auto job = load_job(flags.job, {});
    if (!job) return job.error();
    features = features_of(job->source);
    labels = labels_of(job->source);
    train = job->train;
  }
  for (const auto& [name, choice] : worker::precision_words)
    if (flags.precision == name) train.precision = choice;
  if (flags.activations == "keep") train.activations = worker::activations::keep;
  if (flags.activations == "recompute") train.activations = worker::activations::recompute;
  if (const auto* preset = worker::find_preset(flags.model))
    return worker::model_graph::load(
        std::string(preset->text), "model " + flags.model, flags.overrides, features, labels);
  const auto text = read_text(flags.model, "model file");
  if (!text) return text.error();
  return worker::model_graph::load(*text, flags.model, flags.overrides, features, labels);
}

int explain(const explain_flags& flags) {
  train_spec train;
  const auto graph = load_model(flags, train);
  if (!graph) return report_error(graph.error());
  const std::size_t tokens =
      graph->has_lists() ? std::min(flags.batch * flags.list_max, worker::graph_model::chunk_tokens)
                         : 0;
  const auto machine = kernels::fastest_half_machine();
  const auto wanted = worker::chosen_precision(train.precision, machine);
  if (worker::is_emulated(wanted, machine))
    std::fprintf(stderr,
                 "note: this machine has no instructions for %s: it is slower here than f32\n",
                 std::string(worker::name(wanted)).c_str());
  const worker::graph_plan plan(*graph, flags.batch, tokens, wanted, train.activations);
  if (!flags.svg.empty()) {
    std::ofstream out(flags.svg, std::ios::binary | std::ios::trunc);
    out << plan_svg(flags.model, *graph, plan);
    if (!out.flush())
      return report_error(
          {errc::io_error, "cannot write '" + flags.svg.string() + "': choose another --svg"});
  }
  const std::string said = flags.json ? plan_json(flags.model, *graph, plan) + "\n"
                                      : plan_text(flags.model, *graph, plan);
  std::fputs(said.c_str(), stdout);
  return exit_done;
}

}  // namespace

void add_explain_plan(CLI::App& app, verb_context& context) {
  CLI::App* verb = app.add_subcommand(
      "explain-plan", "Shows what a step of a model does: layers, work, memory; runs nothing");
  auto given = std::make_shared<explain_flags>();
  verb->add_option("MODEL", given->model, "a model file, or the name of a preset")->required();
  verb->add_option("--job", given->job, "a job file: its features instead of made-up ones");
  verb->add_option("--set", given->overrides, "layers.NAME.KEY=VALUE in place of the file's value");
  verb->add_option("--ids", given->ids, "made-up features that are ids")
      ->check(CLI::Range(0, 4096));
  verb->add_option("--numbers", given->numbers, "made-up features that are numbers")
      ->check(CLI::Range(0, 4096));
  verb->add_option("--list", given->list_max, "ids in the made-up list \"history\"")
      ->check(CLI::Range(0, 1024));
  verb->add_option("--batch", given->batch, "samples that go through at once")
      ->check(CLI::Range(1, 65'536));
  verb->add_option("--precision", given->precision, "of the products, in place of the job's")
      ->check(CLI::IsMember({"auto", "f32", "bf16", "fp16"}));
  verb->add_option("--activations",
                   given->activations,
                   "keep what the backward pass reads, or recompute some of it to save memory")
      ->check(CLI::IsMember({"keep", "recompute"}));
  verb->add_option("--svg", given->svg, "draws the memory of a step into this file");
  verb->add_flag("--json", given->json, "one line of JSON on standard output");
  verb->callback([given, &context] { context.status = explain(*given); });
}

}  // namespace headrace::cli
