#pragma once

#include "cli/verbs.hpp"

namespace headrace::cli {

/// The verbs of `bench` that stand beside PyTorch: a DeepFM, layers, single operators.
void add_benches_beside_torch(CLI::App& bench_verb, verb_context& context);

}  // namespace headrace::cli
