#include "cli/pages/dashboard_page.hpp"

#include "cli/pages/dashboard_style.hpp"
#include "cli/pages/html_text.hpp"
#include "cli/pages/page_parts.hpp"
#include "cli/pages/report_style.hpp"

#include <algorithm>

namespace headrace::cli {
namespace {

std::string card(const char* id, const char* heading, const char* why, const std::string& inside) {
  std::string out = std::string("<section class=\"card\" aria-labelledby=\"h-") + id +
                    "\"><h2 id=\"h-" + id + "\">" + heading + "</h2>";
  if (*why != '\0') out += std::string("<p class=\"why\">") + why + "</p>";
  return out + "<div id=\"" + id + "\">" + inside + "</div></section>\n";
}

std::string part(const std::vector<page_part>& parts, std::string_view id) {
  const auto found =
      std::ranges::find_if(parts, [id](const page_part& each) { return each.id == id; });
  return found == parts.end() ? std::string() : found->html;
}

std::string head(const dashboard_view& now) {
  std::string out = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\" />\n";
  out += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\" />\n";
  out +=
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'self'; connect-src 'self'; img-src data:\" />\n";
  out +=
      "<meta name=\"color-scheme\" content=\"light dark\" />\n<link rel=\"icon\" href=\"data:,\" "
      "/>\n<title>" +
      escape_html(now.job) + " – Headrace</title>\n<style>";
  out.append(report_style).append(dashboard_style);
  return out + "</style>\n<script src=\"/dashboard.js\" defer></script>\n</head>\n";
}

}  // namespace

std::string dashboard_page(const dashboard_view& now,
                           const flow_counts& before,
                           const std::vector<series_point>& points) {
  const auto figures = figures_now(now, before);
  const auto charts = charts_now(now, points);
  std::string out = head(now) + "<body>\n<main>\n<header>\n<p class=\"brand\">";
  out.append(page_wheel)
      .append("<span><b>Headrace</b></span><span id=\"state\" class=\"pulse\" role=\"status\">")
      .append(part(figures, "state"))
      .append("</span></p>\n<h1>")
      .append(escape_html(now.job))
      .append("</h1>\n<p class=\"lede\" id=\"lede\">")
      .append(part(figures, "lede"))
      .append("</p>\n</header>\n");
  out +=
      "<section class=\"card\" aria-labelledby=\"h-flow\"><h2 id=\"h-flow\">The flow</h2><ol "
      "class=\"flow\" id=\"flow\">" +
      part(figures, "flow") + "</ol></section>\n";
  out +=
      "<section class=\"card\" aria-labelledby=\"h-quality\"><h2 id=\"h-quality\">How well it "
      "predicts</h2><dl class=\"duel\" id=\"duel\">" +
      part(figures, "duel") + "</dl><div id=\"auc\">" + part(charts, "auc") + "</div></section>\n";
  out += "<dl class=\"card tiles\" id=\"tiles\">" + part(figures, "tiles") + "</dl>\n";
  out += "<div class=\"pair\">" + card("source", "Source", "", part(figures, "source")) +
         card("join", "Join", "", part(figures, "join")) + "</div>\n";
  out += card("shards", "Shards", "", part(figures, "shards"));
  out +=
      "<section aria-labelledby=\"h-over\"><h2 class=\"over\" id=\"h-over\">The last fifteen "
      "minutes</h2>\n<div class=\"grid\" id=\"charts\">\n" +
      part(charts, "charts") + "</div></section>\n";
  return out +
         "</main>\n<footer>Served by the process itself: nothing is fetched from anywhere "
         "else.</footer>\n</body>\n</html>\n";
}

const std::string_view dashboard_script = R"js('use strict';
// Each message has the parts of the page that changed, by the id of their element.
const state = document.getElementById('state');
let heard = Date.now();
let said = state.textContent;
const feed = new EventSource('/v1/dashboard/events');
feed.onmessage = message => {
  heard = Date.now();
  for (const [id, html] of Object.entries(JSON.parse(message.data))) {
    if (id === 'state') { said = html; continue; }
    const part = document.getElementById(id);
    // What somebody reads a value of stays until they are done.
    if (!part || part.querySelector('.chart:hover, :focus')) continue;
    if (part.innerHTML !== html) part.innerHTML = html;
  }
  show();
};
function show() {
  const silent = Math.round((Date.now() - heard) / 1000);
  const lost = silent >= 5;
  const text = lost ? 'no word from the process for ' + silent + ' s' : said;
  if (state.textContent !== text) state.textContent = text;
  state.classList.toggle('lost', lost);
}
setInterval(show, 1000);
)js";

}  // namespace headrace::cli
