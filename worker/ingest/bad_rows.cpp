#include "worker/ingest/bad_rows.hpp"

#include "base/log.hpp"

namespace headrace::worker {

std::string_view name(bad_row why) {
  switch (why) {
    case bad_row::column_count:
      return "column_count";
    case bad_row::not_a_number:
      return "not_a_number";
    case bad_row::not_finite:
      return "not_finite";
    case bad_row::bad_time:
      return "bad_time";
    case bad_row::too_long:
      return "too_long";
    case bad_row::open_quote:
      return "open_quote";
    case bad_row::malformed:
      return "malformed";
    case bad_row::wrong_type:
      return "wrong_type";
    case bad_row::text_too_short:
      return name(text_fault::too_short);
    case bad_row::text_too_long:
      return name(text_fault::too_long);
    case bad_row::text_symbols:
      return name(text_fault::symbols);
    case bad_row::text_script:
      return name(text_fault::script);
    case bad_row::text_near_duplicate:
      return name(text_fault::near_duplicate);
  }
  return "unknown";
}

result<void> bad_rows::add(bad_row why,
                           std::string_view file,
                           std::uint64_t line,
                           std::string_view what) {
  ++total_;
  if (is_wanted(why)) ++wanted_;
  ++counts_[static_cast<std::size_t>(why)];
  std::string& first_of_kind = firsts_[static_cast<std::size_t>(why)];
  if (first_of_kind.empty()) {
    first_of_kind = std::string(file) + ":" + std::to_string(line) + ": " + std::string(name(why)) +
                    ": " + std::string(what);
    if (first_.empty()) first_ = first_of_kind;
    log_warn("source.bad_row",
             {{"file", file}, {"line", line}, {"reason", name(why)}, {"what", what}});
  }
  if (is_wanted(why) || total_ - wanted_ <= max_) return {};
  return error{errc::bad_input,
               "more than " + std::to_string(max_) + " bad rows (" + summary() +
                   "), the first at " + first_ +
                   "; correct the [source] section or raise source.max_bad_rows"};
}

std::string bad_rows::summary() const {
  std::string text;
  for (std::size_t i = 0; i < bad_row_reasons; ++i) {
    if (counts_[i] == 0) continue;
    if (!text.empty()) text += ", ";
    text += std::to_string(counts_[i]) + " " + std::string(name(static_cast<bad_row>(i)));
  }
  return text;
}

}  // namespace headrace::worker
