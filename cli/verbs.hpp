#pragma once

#include "base/result.hpp"
#include "cli/signals.hpp"

#include <chrono>

namespace CLI {
class App;
}

/// The verbs of the command line, one file each: verb_NAME.cpp registers its subcommand and runs
/// it.
namespace headrace::cli {

enum exit_code : int { exit_done = 0, exit_failed = 1, exit_usage = 2, exit_interrupted = 130 };

/// How long a verb waits for a running server to answer.
inline constexpr std::chrono::seconds server_patience{10};

/// What every verb is handed: made in main before any thread exists.
struct verb_context {
  stop_signals& signals;
  int status = exit_done;  // what main returns
};

/// Prints `headrace: …` on standard error, one line, and returns the exit code that belongs to it:
/// 2 for a wrong job file or flag, else 1.
int report_error(const error& failure);

void add_demo(CLI::App& app, verb_context& context);
void add_run(CLI::App& app, verb_context& context);
void add_server(CLI::App& app, verb_context& context);
void add_worker(CLI::App& app, verb_context& context);
void add_ingest(CLI::App& app, verb_context& context);
void add_serve(CLI::App& app, verb_context& context);
void add_check(CLI::App& app, verb_context& context);
void add_explain_plan(CLI::App& app, verb_context& context);
void add_inspect(CLI::App& app, verb_context& context);
void add_eval(CLI::App& app, verb_context& context);
void add_cross(CLI::App& app, verb_context& context);
void add_status(CLI::App& app, verb_context& context);
void add_checkpoint(CLI::App& app, verb_context& context);
void add_restore(CLI::App& app, verb_context& context);
void add_rewind(CLI::App& app, verb_context& context);
void add_undo(CLI::App& app, verb_context& context);
void add_verify(CLI::App& app, verb_context& context);
void add_forget(CLI::App& app, verb_context& context);
void add_release(CLI::App& app, verb_context& context);
void add_generate(CLI::App& app, verb_context& context);
void add_tail(CLI::App& app, verb_context& context);
void add_replay(CLI::App& app, verb_context& context);
void add_bench(CLI::App& app, verb_context& context);

}  // namespace headrace::cli
