#include "cli/crossed_job.hpp"

#include "base/nearest_word.hpp"
#include "cli/job/model_section.hpp"
#include "cli/job/source_section.hpp"
#include "worker/cross/cross_search.hpp"
#include "worker/ingest/event_source.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::size_t base_dim = 8;           // where the job's model has vectors
constexpr std::uint64_t events_a_look = 256;  // between two questions whether to stop

using worker::cross_search;

/// Places of the id features that pairs are made of; crosses that there are stand behind them.
result<std::vector<std::uint32_t>> parts(const job& described, const cross_order& order) {
  const auto features = keyed_features_of(described.source);
  const std::size_t plain = features.size() - described.source.crosses.size();
  std::vector<std::uint32_t> ids;
  std::vector<std::string> names;
  for (std::uint32_t f = 0; f < plain; ++f) {
    if (features[f].number) continue;
    ids.push_back(f);
    names.push_back(features[f].name);
  }
  if (order.features.empty()) return ids;
  std::vector<std::uint32_t> wanted;
  for (const auto& name : order.features) {
    const auto found = std::ranges::find(names, name);
    if (found == names.end()) {
      const std::string near = nearest_word(name, names);
      return error{errc::bad_config,
                   "--features " + name + ": the job has no such feature of ids" +
                       (near.empty() ? "" : "; did you mean '" + near + "'?")};
    }
    wanted.push_back(ids[static_cast<std::size_t>(found - names.begin())]);
  }
  std::ranges::sort(wanted);
  if (std::ranges::adjacent_find(wanted) != wanted.end())
    return error{errc::bad_config, "--features names a feature twice"};
  return wanted;
}

bool is_crossed(const job& described, const cross_search::pair& of) {
  return std::ranges::any_of(described.source.crosses, [&](const auto& cross) {
    return cross.of.size() == 2 && std::min(cross.of[0], cross.of[1]) == of.first &&
           std::max(cross.of[0], cross.of[1]) == of.second;
  });
}

result<std::vector<cross_search::pair>> pairs_of(const job& described, const cross_order& order) {
  const auto ids = parts(described, order);
  if (!ids) return ids.error();
  std::vector<cross_search::pair> pairs;
  for (std::size_t a = 0; a < ids->size(); ++a) {
    for (std::size_t b = a + 1; b < ids->size(); ++b) {
      const cross_search::pair one{(*ids)[a], (*ids)[b]};
      if (!is_crossed(described, one)) pairs.push_back(one);
    }
  }
  if (pairs.empty())
    return error{errc::bad_config, "there are no two features of ids that are not crossed yet"};
  if (pairs.size() > order.pairs_max) {
    return error{errc::bad_config,
                 "there are " + std::to_string(pairs.size()) + " pairs, more than --pairs " +
                     std::to_string(order.pairs_max) + ": name some features with --features"};
  }
  return pairs;
}

/// `user_x_genre`, or where that is taken or no name, `cross_2`.
class cross_names {
 public:
  explicit cross_names(const job& described) {
    for (const auto& feature : features_of(described.source)) taken_.push_back(feature.name);
  }
  std::string name(const std::string& first, const std::string& second) {
    std::string made = first + "_x_" + second;
    for (int i = 1; !is_plain_name(made) || std::ranges::count(taken_, made) > 0; ++i)
      made = "cross_" + std::to_string(i);
    taken_.push_back(made);
    return made;
  }

 private:
  std::vector<std::string> taken_;
};

result<std::uint64_t> read_events(const job& described,
                                  const cross_order& order,
                                  cross_search& search) {
  auto source = worker::make_source(described.source);
  if (!source) return source.error();
  worker::event event;
  while (search.events() < order.events_max) {
    if (search.events() % events_a_look == 0 && order.stopped && order.stopped())
      return error{errc::cancelled, "stopped"};
    const auto more = (*source)->next(event);
    if (!more) return more.error();
    if (!*more) break;
    search.add(event);
  }
  if (search.events() == 0)
    return error{errc::bad_input, "source '" + described.source.uri + "' has no event"};
  return (*source)->bad().total();
}

}  // namespace

result<cross_report> find_crosses(const job& described, const cross_order& order) {
  cross_search::settings how;
  auto pairs = pairs_of(described, order);
  if (!pairs) return pairs.error();
  how.pairs = std::move(*pairs);
  how.features = keyed_features_of(described.source).size();
  how.dim = widest_lookup(*described.model) > 1 ? base_dim : 0;
  how.table_bytes = order.table_bytes;
  cross_search search(how);
  const auto bad_rows = read_events(described, order, search);
  if (!bad_rows) return bad_rows.error();
  cross_report report;
  report.events = search.events();
  report.bad_rows = *bad_rows;
  report.base_auc = search.base().auc();
  report.base_logloss = search.base().logloss();
  report.z_min = search.z_min();
  report.slots = search.slots();
  report.bytes = search.bytes();
  const auto features = keyed_features_of(described.source);
  cross_names names(described);
  std::size_t chosen = 0;
  for (const auto& found : search.findings()) {
    crossed_pair one;
    one.first = features[found.of.first].name;
    one.second = features[found.of.second].name;
    one.name = names.name(one.first, one.second);
    one.gain = found.gain;
    one.standard_error = found.standard_error;
    one.z = found.z;
    one.distinct = found.distinct;
    one.crowded = found.crowded;
    one.worth_it = found.worth_it;
    one.chosen = found.worth_it && chosen < order.top;
    chosen += one.chosen ? 1 : 0;
    report.pairs.push_back(std::move(one));
  }
  return report;
}

result<std::string> with_crosses(const std::string& text,
                                 const std::string& origin,
                                 const std::vector<crossed_pair>& pairs) {
  std::string made = text;
  if (!made.empty() && made.back() != '\n') made += '\n';
  for (const crossed_pair& pair : pairs) {
    if (!pair.chosen) continue;
    made += "\n[features." + pair.name + "]\nkind = \"cross\"\nof = [\"" + pair.first + "\", \"" +
            pair.second + "\"]\n";
  }
  const auto parsed = parse_job(made, origin, {});
  if (!parsed) return parsed.error();
  return made;
}

}  // namespace headrace::cli
