#pragma once

#include "base/config.hpp"
#include "cli/job/window_section.hpp"
#include "worker/ingest/source_spec.hpp"

namespace headrace::cli {

/// Reads the sections `[texts.NAME]`, which a generated stream refuses. What is wrong is remembered
/// by `config`.
void read_texts(config_reader& config, worker::source_spec& source, const column_use& check);

}  // namespace headrace::cli
