#include "cli/bench_beside_torch.hpp"

#include "bench/attention/attention.hpp"
#include "bench/deepfm/deepfm.hpp"
#include "bench/moe/moe.hpp"
#include "bench/ops/ops.hpp"
#include "cli/flag_choice.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace headrace::cli {
namespace {

void add_python(CLI::App& verb, std::string& python) {
  verb.add_option("--python", python, "the Python whose PyTorch stands beside ours")
      ->check(CLI::ExistingFile);
}

void add_deepfm(CLI::App& bench_verb, verb_context& context) {
  auto options = std::make_shared<bench::deepfm_options>();
  CLI::App* verb =
      bench_verb.add_subcommand("deepfm", "Samples a second that a DeepFM learns, beside PyTorch");
  verb->add_option("--batch", options->batch, "samples of a step")->check(CLI::Range(1, 8'192));
  verb->add_option("--seconds", options->seconds, "timed part of a round, on each side")
      ->check(CLI::Range(0.05, 3'600.0));
  verb->add_option("--rounds", options->rounds, "rounds, medians of which are reported")
      ->check(CLI::Range(1, 1'000));
  add_choice<bench::deepfm_path>(
      *verb,
      "--through",
      options->through,
      {{"ps", bench::deepfm_path::ps}, {"direct", bench::deepfm_path::direct}},
      "pull, learn and push through four shards, or forward and backward alone");
  verb->add_option("--threads", options->threads, "threads of ours; PyTorch has as many, and one")
      ->check(CLI::Range(1, 16));
  add_choice<worker::precision_choice>(
      *verb,
      "--precision",
      options->precision,
      {worker::precision_words.begin(), worker::precision_words.end()},
      "of our products: auto is bf16 where there is AMX");
  verb->add_option("--dense-every",
                   options->dense_every,
                   "batches of a thread that one push of the network covers")
      ->check(CLI::Range(1, 1'000));
  add_python(*verb, options->python);
  verb->add_flag("--profile", options->profile, "where the time of a step goes");
  verb->add_flag("--json", options->json, "one line of JSON on standard output");
  verb->add_flag("--inside", options->inside)->group("");
  verb->callback([options, &context] {
    context.status = bench::run_bench_deepfm(*options, [&context](std::chrono::milliseconds wait) {
      return context.signals.wait(wait);
    });
  });
}

/// Flags of everything beside PyTorch.
void add_layer_run(CLI::App& verb, bench::layer_run& run) {
  verb.add_option("--seconds", run.seconds, "timed part of a round, on each side")
      ->check(CLI::Range(0.05, 3'600.0));
  verb.add_option("--rounds", run.rounds, "rounds, medians of which are reported")
      ->check(CLI::Range(1, 1'000));
  add_python(verb, run.python);
  verb.add_flag("--json", run.json, "one line of JSON a point on standard output");
  verb.add_flag("--inside", run.inside)->group("");
  verb.add_option("--folder", run.folder)->group("");
}

void add_threads(CLI::App& verb, bench::layer_run& run) {
  verb.add_option("--threads", run.threads, "threads of each side")->check(CLI::Range(1, 16));
}

void add_attention(CLI::App& bench_verb, verb_context& context) {
  auto options = std::make_shared<bench::attention_options>();
  CLI::App* verb = bench_verb.add_subcommand(
      "attention",
      "A layer of attention, forward and backward, beside PyTorch; windows and gated heads beside "
      "full attention. With a shape, that layer alone");
  std::vector<CLI::Option*> shape = {
      verb->add_option("--batch", options->shape.batch, "sequences")->check(CLI::Range(1, 4'096)),
      verb->add_option("--seq", options->shape.seq, "tokens of each")->check(CLI::Range(1, 32'768)),
      verb->add_option("--dim", options->shape.dim, "floats of a token, a multiple of the heads")
          ->check(CLI::Range(1, 4'096)),
      verb->add_option("--heads", options->shape.heads, "heads")->check(CLI::Range(1, 256))};
  add_threads(*verb, options->run);
  add_layer_run(*verb, options->run);
  verb->callback([options, shape = std::move(shape), &context] {
    options->one_shape =
        std::ranges::any_of(shape, [](const CLI::Option* option) { return option->count() > 0; });
    if (options->shape.dim % options->shape.heads != 0) {
      context.status = report_error(error{errc::bad_config,
                                          "--dim " + std::to_string(options->shape.dim) +
                                              " is no multiple of --heads " +
                                              std::to_string(options->shape.heads)});
      return;
    }
    context.status = bench::run_bench_attention(
        *options,
        [&context](std::chrono::milliseconds patience) { return context.signals.wait(patience); });
  });
}

void add_moe(CLI::App& bench_verb, verb_context& context) {
  auto options = std::make_shared<bench::moe_options>();
  CLI::App* verb = bench_verb.add_subcommand(
      "moe", "A mixture of 8 experts, forward and backward, beside PyTorch");
  verb->add_option("--batch", options->shape.tokens, "tokens of a step")
      ->check(CLI::Range(1, 65'536));
  add_threads(*verb, options->run);
  add_layer_run(*verb, options->run);
  verb->callback([options, &context] {
    context.status = bench::run_bench_moe(*options, [&context](std::chrono::milliseconds patience) {
      return context.signals.wait(patience);
    });
  });
}

/// A verb for each operator of the table (bench/ops/op_bench.hpp).
void add_ops(CLI::App& bench_verb, verb_context& context) {
  for (const bench::op_bench& which : bench::op_benches()) {
    auto options = std::make_shared<bench::op_options>();
    options->batch = which.batch;
    CLI::App* verb = bench_verb.add_subcommand(
        std::string(which.name), std::string(which.help) + ", beside PyTorch and a limit");
    verb->add_option("--batch", options->batch, std::string(which.item) + "s of a step")
        ->check(CLI::Range(std::size_t{1}, which.batch_most));
    add_layer_run(*verb, options->run);
    verb->add_option("--threads", options->run.threads)->group("")->check(CLI::Range(1, 1));
    verb->callback([options, &which, &context] {
      context.status =
          bench::run_bench_op(which, *options, [&context](std::chrono::milliseconds patience) {
            return context.signals.wait(patience);
          });
    });
  }
}

}  // namespace

void add_benches_beside_torch(CLI::App& bench_verb, verb_context& context) {
  add_deepfm(bench_verb, context);
  add_attention(bench_verb, context);
  add_moe(bench_verb, context);
  add_ops(bench_verb, context);
}

}  // namespace headrace::cli
