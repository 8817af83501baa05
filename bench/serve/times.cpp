#include "bench/serve/times.hpp"

#include "base/parse_number.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>

namespace headrace::bench {
namespace {

double at_share(std::vector<double>& values, double share) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const auto place =
      static_cast<std::size_t>(std::ceil(share * static_cast<double>(values.size())));
  return values[std::max<std::size_t>(place, 1) - 1];
}

double seconds(std::uint64_t from_ns, std::uint64_t to_ns) {
  return to_ns < from_ns ? 0 : static_cast<double>(to_ns - from_ns) / 1e9;
}

}  // namespace

void add_freshness(const std::vector<probe_event>& probes,
                   const std::vector<stamped_answer>& answers,
                   freshness_figures& into) {
  std::vector<double> fresh;
  std::vector<double> since_sent;
  std::vector<double> ages;
  into.probes = probes.size();
  into.answers = answers.size();
  for (const probe_event& probe : probes) {
    const auto has_it = [&](const stamped_answer& answer) {
      return answer.at_ns >= probe.accepted_ns && answer.applied_through_ms > probe.accepted_ms;
    };
    const auto found = std::ranges::find_if(answers, has_it);
    if (found == answers.end()) {
      ++into.missing;
      continue;
    }
    fresh.push_back(seconds(probe.accepted_ns, found->at_ns));
    since_sent.push_back(seconds(probe.sent_ns, found->at_ns));
  }
  std::uint64_t newest = 0;
  for (const stamped_answer& answer : answers) {
    if (answer.applied_through_ms < newest) ++into.went_back;
    newest = std::max(newest, answer.applied_through_ms);
    const auto behind = answer.at_ms - std::min(answer.at_ms, answer.applied_through_ms);
    ages.push_back(static_cast<double>(behind) / 1e3);
  }
  into.p50_seconds = at_share(fresh, 0.5);
  into.p99_seconds = at_share(fresh, 0.99);
  into.max_seconds = at_share(fresh, 1.0);
  into.sent_p50_seconds = at_share(since_sent, 0.5);
  into.sent_p99_seconds = at_share(since_sent, 0.99);
  into.age_p50_seconds = at_share(ages, 0.5);
  into.age_p99_seconds = at_share(ages, 0.99);
}

namespace {

// Each figure in the order of its line.
template <class Figures, class Whole, class Real>
void each(Figures& of, const Whole& whole, const Real& real) {
  whole(of.probes);
  whole(of.missing);
  real(of.p50_seconds);
  real(of.p99_seconds);
  real(of.max_seconds);
  real(of.sent_p50_seconds);
  real(of.sent_p99_seconds);
  real(of.age_p50_seconds);
  real(of.age_p99_seconds);
  whole(of.answers);
  whole(of.went_back);
  real(of.predict_p50_ms);
  real(of.predict_p99_ms);
  whole(of.samples);
  real(of.samples_per_second);
  whole(of.backlog_end);
  whole(of.refused);
}

}  // namespace

std::string to_line(const freshness_figures& figures) {
  std::string line;
  const auto whole = [&](std::uint64_t value) { line += std::to_string(value) + " "; };
  const auto real = [&](double value) {
    char text[40];
    std::snprintf(text, sizeof text, "%.17g ", value);
    line += text;
  };
  each(figures, whole, real);
  line.pop_back();
  return line;
}

result<freshness_figures> parse_freshness_figures(std::string_view line) {
  freshness_figures made;
  std::string_view left = line;
  bool good = true;
  const auto read = [&]<class Number>(Number& into) {
    const auto end = std::min(left.find(' '), left.size());
    const auto number = parse_number<Number>(left.substr(0, end));
    good = good && number.has_value();
    into = number.value_or(Number{});
    left.remove_prefix(std::min(end + 1, left.size()));
  };
  each(
      made, [&](std::uint64_t& value) { read(value); }, [&](double& value) { read(value); });
  if (!good || !left.empty())
    return error{errc::malformed, "a client said '" + std::string(line) + "'"};
  return made;
}

}  // namespace headrace::bench
