#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>

namespace headrace::cli {
namespace {

int run(int argc, char** argv) {
  stop_signals signals;  // before any thread exists
  verb_context context{signals};
  CLI::App app{
      "Headrace: a parameter server for online learning. Events stream in, models learn at once."};
  app.set_version_flag("--version", "headrace " HEADRACE_VERSION);
  app.require_subcommand(1);
  add_demo(app, context);
  add_run(app, context);
  add_server(app, context);
  add_worker(app, context);
  add_ingest(app, context);
  add_serve(app, context);
  add_check(app, context);
  add_explain_plan(app, context);
  add_inspect(app, context);
  add_eval(app, context);
  add_cross(app, context);
  add_status(app, context);
  add_checkpoint(app, context);
  add_restore(app, context);
  add_rewind(app, context);
  add_undo(app, context);
  add_verify(app, context);
  add_forget(app, context);
  add_release(app, context);
  add_generate(app, context);
  add_tail(app, context);
  add_replay(app, context);
  add_bench(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    const bool asked = failure.get_exit_code() == 0;  // --help, --version
    app.exit(failure);
    return asked ? exit_done : exit_usage;
  }
  return context.status;
}

}  // namespace
}  // namespace headrace::cli

int main(int argc, char** argv) {
  try {
    return headrace::cli::run(argc, argv);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "headrace: stopped by an unexpected failure: %s\n", failure.what());
    return headrace::cli::exit_failed;
  }
}
