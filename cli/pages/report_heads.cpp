#include "cli/pages/report_heads.hpp"

#include "cli/pages/html_text.hpp"

namespace headrace::cli {
namespace {

std::string cell(bool measured, double value, int digits) {
  return "<td>" + (measured ? fixed(value, digits) : "–") + "</td>";
}

std::string head_row(const actors::progress& f, const actors::head_figures& head) {
  const bool any = f.samples > 0;
  const bool tail = f.tail_samples > 0;
  std::string out = "<tr><th scope=\"row\">" + escape_html(head.name) + "</th>";
  out += cell(any, 100 * head.positive_share, 2) + cell(any, head.auc, 4);
  out += cell(any, head.logloss, 4) + cell(any, head.calibration, 3);
  return out + cell(tail, head.auc_tail, 4) + cell(tail, head.auc_frozen, 4) + "</tr>\n";
}

}  // namespace

std::string heads_section(const actors::progress& f) {
  if (f.heads.empty()) return {};
  std::string out =
      "<section class=\"card\" aria-labelledby=\"labels\">\n<h2 id=\"labels\">Each label</h2>\n<p "
      "class=\"why\">The model predicts several labels; the other figures are of the first.</p>\n"
      "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"labels\">\n<table "
      "class=\"compare\">\n<thead><tr><td></td>";
  for (const char* name :
       {"positive, %", "AUC", "logloss", "calibration", "AUC since freeze", "AUC frozen"}) {
    out += std::string("<th scope=\"col\">") + name + "</th>";
  }
  out += "</tr></thead>\n<tbody>\n";
  for (const auto& head : f.heads) out += head_row(f, head);
  return out + "</tbody>\n</table>\n</div>\n</section>\n";
}

}  // namespace headrace::cli
