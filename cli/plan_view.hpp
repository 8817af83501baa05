#pragma once

#include "worker/model/graph_plan.hpp"
#include "worker/model/model_graph.hpp"

#include <string>

namespace headrace::cli {

/// What a step of a model does, for a person: its layers with shapes, work and memory, its tables,
/// and how much of the arena is shared.
std::string plan_text(const std::string& name,
                      const worker::model_graph& graph,
                      const worker::graph_plan& plan);
/// The same as one JSON object.
std::string plan_json(const std::string& name,
                      const worker::model_graph& graph,
                      const worker::graph_plan& plan);
/// The arena over the steps of a pass as a picture: a box for each buffer, from the step that
/// writes it to the last that reads it, at its place in memory. An SVG file of its own.
std::string plan_svg(const std::string& name,
                     const worker::model_graph& graph,
                     const worker::graph_plan& plan);

}  // namespace headrace::cli
