#pragma once

#include "base/config.hpp"
#include "base/result.hpp"
#include "cli/job/job_file.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace headrace::cli {

/// Reads `[model]` and `[layers.*]`: a preset by name (`arch`), a model file beside the job file
/// (`file`), or the layers in the job file itself. What the job file says of a layer stands before
/// what preset and model file say, and the resolved text has all of it, so a state folder needs no
/// other file. The source must have been read. Fails: what is wrong with a layer, in one line; what
/// is wrong with the section is remembered by the reader, and then there may be no model.
result<void> read_model(config_reader& config, const std::string& job_file, job& made);

/// The features of a source as a model sees them.
std::vector<worker::model_feature> features_of(const worker::source_spec& source);
/// Those of them that have one key in each event, in the order of the keys: all but lists.
std::vector<worker::model_feature> keyed_features_of(const worker::source_spec& source);

/// The names of its labels: of columns, or of what a generated stream brings.
std::vector<std::string> labels_of(const worker::source_spec& source);

/// A line for each label of the job that no loss of its model learns.
std::vector<std::string> label_notes(const job& made);

/// Floats in the widest row that is looked up by key.
std::size_t widest_lookup(const worker::model_graph& model);

}  // namespace headrace::cli
