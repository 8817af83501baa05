#include "cli/plan_view.hpp"

#include "base/json_line.hpp"
#include "cli/pages/html_text.hpp"

#include <algorithm>
#include <cstdio>
#include <span>
#include <sstream>
#include <vector>

namespace headrace::cli {
namespace {

using worker::graph_node;
using worker::planned_buffer;

double kib(std::size_t floats) { return static_cast<double>(floats) * sizeof(float) / 1024.0; }

std::string shape_of(const graph_node& node) {
  const std::string shape = describe(node.body->output);
  return node.body->output.rows ? "rows " + shape : shape;
}

std::string inputs_of(const worker::model_graph& graph, const graph_node& node) {
  std::string names;
  for (const std::size_t input : node.inputs)
    names += (names.empty() ? "" : ", ") + graph.nodes()[input].name;
  return names.empty() ? "-" : names;
}

std::string padded(const std::string& text, std::size_t width, bool right = false) {
  const std::string room(text.size() < width ? width - text.size() : 0, ' ');
  return right ? room + text : text + room;
}

using text_row = std::vector<std::string>;

// Columns as wide as their widest cell; numbers, from column `numbers` on, to the right.
std::string table_text(const std::vector<text_row>& rows, std::size_t numbers) {
  std::vector<std::size_t> widths(rows[0].size());
  for (const text_row& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  }
  std::string text;
  for (const text_row& row : rows) {
    std::string line = " ";
    for (std::size_t c = 0; c < row.size(); ++c)
      line += " " + padded(row[c], widths[c] + 1, c >= numbers);
    while (line.back() == ' ') line.pop_back();
    text += line + "\n";
  }
  return text;
}

struct step_cost {
  double forward = 0.0;
  double again = 0.0;
  double backward = 0.0;
};

step_cost cost_of(const worker::model_graph& graph, const worker::graph_plan& plan) {
  step_cost sum;
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const auto cost = graph.nodes()[i].body->chunk_cost(plan.size());
    sum.forward += cost.forward_flops;
    sum.backward += cost.backward_flops;
    if (plan.recomputes(i)) sum.again += cost.forward_flops;
  }
  return sum;
}

std::string layers_text(const worker::model_graph& graph, const worker::graph_plan& plan) {
  std::vector<text_row> rows = {
      {"layer", "op", "inputs", "output", "precision", "MFLOP fwd", "MFLOP bwd", "parameters"}};
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const graph_node& node = graph.nodes()[i];
    const auto cost = node.body->chunk_cost(plan.size());
    std::size_t parameters = 0;
    for (const auto& matrix : node.body->parameters) parameters += matrix.rows * matrix.dim;
    rows.push_back({node.name,
                    node.op,
                    inputs_of(graph, node),
                    shape_of(node),
                    std::string(worker::name(plan.precision_of(i))),
                    fixed(cost.forward_flops / 1e6, 2),
                    fixed(cost.backward_flops / 1e6, 2),
                    with_commas(parameters)});
  }
  return table_text(rows, 5);
}

std::string tables_text(const worker::model_graph& graph) {
  std::vector<text_row> rows = {{"table", "rows", "floats a row"}};
  for (const auto& table : graph.tables())
    rows.push_back({table.name,
                    table.rows == 0 ? "by key" : with_commas(table.rows),
                    std::to_string(table.dim)});
  return table_text(rows, 1);
}

std::string buffers_text(const worker::graph_plan& plan) {
  std::vector<text_row> rows = {{"buffer", "steps", "at KiB", "KiB"}};
  for (const planned_buffer& buffer : plan.buffers())
    rows.push_back({buffer.what,
                    std::to_string(buffer.first) + " - " + std::to_string(buffer.last),
                    fixed(kib(buffer.offset), 1),
                    fixed(kib(buffer.floats), 1)});
  return table_text(rows, 1);
}

// Where a plan is drawn, in user units.
struct canvas {
  double left = 70;
  double top = 56;
  double width = 900;
  double height = 420;
  std::size_t steps = 1;
  std::size_t floats = 1;

  double x(std::size_t step) const {
    return left + width * static_cast<double>(step) / static_cast<double>(steps);
  }
  double y(std::size_t offset) const {
    return top + height * static_cast<double>(offset) / static_cast<double>(floats);
  }
};

// Outputs, gradients and scratch are told apart by colour and by the text that the box shows.
const char* kind_of(const std::string& what) {
  if (what.ends_with("workspace")) return "scratch";
  if (what.ends_with("gradient")) return "gradient";
  return "value";
}

void draw_buffer(std::ostringstream& out, const canvas& at, const planned_buffer& buffer) {
  const double x = at.x(buffer.first);
  const double y = at.y(buffer.offset);
  const double width = at.x(buffer.last + 1) - x;
  const double height = at.y(buffer.offset + buffer.floats) - y;
  const std::string name = escape_html(buffer.what);
  out << "<g class=\"" << kind_of(buffer.what) << "\"><title>" << name << ": "
      << fixed(kib(buffer.floats), 1) << " KiB, steps " << buffer.first << " to " << buffer.last
      << "</title><rect x=\"" << x << "\" y=\"" << y << "\" width=\"" << width << "\" height=\""
      << height << "\"/>";
  const auto fits = static_cast<std::size_t>(width / 6.5);
  if (height >= 11 && fits >= 4) {
    const std::string shown =
        buffer.what.size() <= fits ? buffer.what : buffer.what.substr(0, fits - 1) + "…";
    out << "<text x=\"" << x + 4 << "\" y=\"" << y + std::min(height / 2 + 4, 16.0) << "\">"
        << escape_html(shown) << "</text>";
  }
  out << "</g>\n";
}

void draw_steps(std::ostringstream& out,
                const canvas& at,
                const worker::model_graph& graph,
                std::span<const worker::plan_step> steps) {
  const std::size_t nodes = graph.nodes().size();
  const double bottom = at.top + at.height;
  for (std::size_t step = 0; step < at.steps; ++step) {
    const auto& node = graph.nodes()[steps[step].node];
    const bool again = steps[step].what == worker::plan_step::pass::again;
    const double middle = (at.x(step) + at.x(step + 1)) / 2;
    out << "<text class=\"step\" transform=\"translate(" << middle + 4 << ' ' << bottom + 10
        << ") rotate(60)\">" << escape_html(node.name) << (again ? " again" : "") << "</text>\n";
  }
  out << "<line x1=\"" << at.x(nodes) << "\" x2=\"" << at.x(nodes) << "\" y1=\"" << at.top - 8
      << "\" y2=\"" << bottom << "\"/>\n<text x=\"" << at.left << "\" y=\"" << at.top - 12
      << "\">forward</text>\n<text x=\"" << at.x(nodes) + 6 << "\" y=\"" << at.top - 12
      << "\">backward</text>\n";
  constexpr int ticks = 4;
  for (int i = 0; i <= ticks; ++i) {
    const std::size_t floats = at.floats * static_cast<std::size_t>(i) / ticks;
    out << "<text class=\"axis\" x=\"" << at.left - 8 << "\" y=\"" << at.y(floats) + 4 << "\">"
        << fixed(kib(floats), 0) << " KiB</text>\n";
  }
}

constexpr const char* style = R"(<style>
svg { background: #fff; font: 11px sans-serif; }
text { fill: #222; }
.axis { text-anchor: end; fill: #555; }
.step { fill: #555; }
line { stroke: #999; stroke-dasharray: 4 3; }
rect { stroke: #fff; stroke-width: 1; }
.value rect { fill: #9ecae1; }
.gradient rect { fill: #fdae6b; }
.scratch rect { fill: #d9d9d9; }
</style>
)";

}  // namespace

std::string plan_text(const std::string& name,
                      const worker::model_graph& graph,
                      const worker::graph_plan& plan) {
  const std::size_t samples = plan.samples();
  const step_cost cost = cost_of(graph, plan);
  const std::string again =
      cost.again > 0 ? ", " + fixed(cost.again / 1e6, 1) + " of them once more," : "";
  return name + ": " + std::to_string(graph.nodes().size()) + " layers; a chunk of " +
         std::to_string(samples) + " samples takes " + fixed(cost.forward / 1e6, 1) +
         " MFLOP forward" + again + " and " + fixed(cost.backward / 1e6, 1) + " backward\n\n" +
         layers_text(graph, plan) + "\n" + tables_text(graph) + "\n" + buffers_text(plan) +
         "\narena " + fixed(kib(plan.arena_floats()), 1) + " KiB; " +
         fixed(kib(plan.floats_unshared()), 1) + " KiB if no buffer shared memory" +
         (plan.words() == 0 ? "" : "; 16-bit scratch " + fixed(kib(plan.words()) / 2, 1) + " KiB") +
         "\n";
}

std::string plan_json(const std::string& name,
                      const worker::model_graph& graph,
                      const worker::graph_plan& plan) {
  const step_cost cost = cost_of(graph, plan);
  std::size_t parameters = 0;
  for (const auto& table : graph.tables()) parameters += table.rows * table.dim;
  json_line line;
  line.add("model", name)
      .add("layers", graph.nodes().size())
      .add("samples", plan.samples())
      .add("forward_flops", cost.forward)
      .add("forward_again_flops", cost.again)
      .add("backward_flops", cost.backward)
      .add("parameters", parameters)
      .add("tables", graph.tables().size())
      .add("arena_bytes", plan.arena_floats() * sizeof(float))
      .add("arena_bytes_unshared", plan.floats_unshared() * sizeof(float))
      .add("scratch_bytes", plan.words() * sizeof(std::uint16_t));
  line.begin_object("precision");
  for (std::size_t i = 0; i < graph.nodes().size(); ++i)
    line.add(graph.nodes()[i].name, worker::name(plan.precision_of(i)));
  line.end();
  return line.text();
}

std::string plan_svg(const std::string& name,
                     const worker::model_graph& graph,
                     const worker::graph_plan& plan) {
  canvas at;
  at.steps = plan.steps().size();
  at.floats = std::max<std::size_t>(plan.arena_floats(), 1);
  std::ostringstream out;
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1000 580\" role=\"img\" "
         "aria-label=\"Memory of a step of "
      << escape_html(name) << "\">\n"
      << style << "<text x=\"" << at.left << "\" y=\"20\" font-size=\"14\">" << escape_html(name)
      << ": where each buffer of a chunk of " << plan.samples() << " samples lies, and when ("
      << fixed(kib(plan.arena_floats()), 0) << " KiB, " << fixed(kib(plan.floats_unshared()), 0)
      << " without sharing)</text>\n";
  for (const planned_buffer& buffer : plan.buffers()) draw_buffer(out, at, buffer);
  draw_steps(out, at, graph, plan.steps());
  out << "</svg>\n";
  return out.str();
}

}  // namespace headrace::cli
