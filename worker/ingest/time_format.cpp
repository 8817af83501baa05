#include "worker/ingest/time_format.hpp"

#include "base/parse_number.hpp"

#include <array>
#include <cmath>

namespace headrace::worker {
namespace {

constexpr std::string_view plain_letters = "YymdejHIMSpbBznt%";
constexpr std::array<std::string_view, 12> months = {"january",
                                                     "february",
                                                     "march",
                                                     "april",
                                                     "may",
                                                     "june",
                                                     "july",
                                                     "august",
                                                     "september",
                                                     "october",
                                                     "november",
                                                     "december"};
constexpr double ms_max = 9.0e15;  // beyond the year 200,000; exact in a double

// Days from 1970-01-01 to a date of the proleptic Gregorian calendar (H. Hinnant,
// "chrono-compatible low-level date algorithms", days_from_civil).
std::int64_t days_from_civil(std::int64_t year, unsigned month, unsigned day) {
  year -= month <= 2 ? 1 : 0;
  const std::int64_t era = (year >= 0 ? year : year - 399) / 400;
  const auto year_of_era = static_cast<unsigned>(year - era * 400);
  const unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + static_cast<std::int64_t>(day_of_era) - 719'468;
}

bool is_leap(std::int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

unsigned days_in_month(std::int64_t year, unsigned month) {
  constexpr std::array<unsigned, 12> days = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

// A date and time being read from text.
struct reading {
  std::string_view rest;
  std::int64_t year = 1970;
  unsigned month = 1;
  unsigned day = 1;
  unsigned day_of_year = 0;  // 0: not given
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  unsigned millisecond = 0;
  std::optional<bool> afternoon;
  std::int64_t zone_minutes = 0;

  void skip_space() {
    while (!rest.empty() && (rest[0] == ' ' || (rest[0] >= '\t' && rest[0] <= '\r')))
      rest.remove_prefix(1);
  }

  bool number(std::size_t digits_max, unsigned low, unsigned high, unsigned& into) {
    skip_space();
    std::size_t used = 0;
    unsigned value = 0;
    for (; used < digits_max && used < rest.size() && rest[used] >= '0' && rest[used] <= '9';
         ++used) {
      value = value * 10 + static_cast<unsigned>(rest[used] - '0');
    }
    rest.remove_prefix(used);
    into = value;
    return used > 0 && value >= low && value <= high;
  }

  void fraction() {
    if (rest.size() < 2 || rest[0] != '.' || rest[1] < '0' || rest[1] > '9') return;
    rest.remove_prefix(1);
    for (unsigned place = 100; !rest.empty() && rest[0] >= '0' && rest[0] <= '9'; place /= 10) {
      millisecond += place * static_cast<unsigned>(rest[0] - '0');
      rest.remove_prefix(1);
    }
  }

  bool word_begins(std::string_view lower) const {
    if (rest.size() < lower.size()) return false;
    for (std::size_t i = 0; i < lower.size(); ++i) {
      if ((rest[i] | 0x20) != lower[i]) return false;
    }
    return true;
  }

  bool month_name() {
    for (unsigned m = 0; m < months.size(); ++m) {
      const std::string_view whole = months[m];
      const std::size_t length = word_begins(whole)                ? whole.size()
                                 : word_begins(whole.substr(0, 3)) ? 3
                                                                   : 0;
      if (length == 0) continue;
      rest.remove_prefix(length);
      month = m + 1;
      return true;
    }
    return false;
  }

  bool half_of_day() {
    if (!word_begins("am") && !word_begins("pm")) return false;
    afternoon = word_begins("pm");
    rest.remove_prefix(2);
    return true;
  }

  bool zone() {
    skip_space();
    if (rest.empty()) return false;
    const char sign = rest[0];
    rest.remove_prefix(1);
    if (sign == 'Z') return true;
    if (sign != '+' && sign != '-') return false;
    unsigned hours = 0;
    unsigned minutes = 0;
    if (!number(2, 0, 15, hours)) return false;
    if (!rest.empty() && rest[0] == ':') rest.remove_prefix(1);
    if (!rest.empty() && !number(2, 0, 59, minutes)) return false;
    zone_minutes = (sign == '-' ? -1 : 1) * static_cast<std::int64_t>(hours * 60 + minutes);
    return true;
  }

  bool letter(char which) {
    unsigned value = 0;
    switch (which) {
      case 'Y':
        if (!number(4, 0, 9999, value)) return false;
        year = value;
        return true;
      case 'y':
        if (!number(2, 0, 99, value)) return false;
        year = value < 69 ? 2000 + value : 1900 + value;  // as POSIX has it
        return true;
      case 'm':
        return number(2, 1, 12, month);
      case 'd':
      case 'e':
        return number(2, 1, 31, day);
      case 'j':
        return number(3, 1, 366, day_of_year);
      case 'H':
        return number(2, 0, 23, hour);
      case 'I':
        return number(2, 1, 12, hour);
      case 'M':
        return number(2, 0, 59, minute);
      case 'S':
        if (!number(2, 0, 60, second)) return false;
        fraction();
        return true;
      case 'p':
        return half_of_day();
      case 'b':
      case 'B':
        return month_name();
      case 'z':
        return zone();
      case 'n':
      case 't':
        skip_space();
        return true;
      default:
        return false;
    }
  }

  std::optional<std::uint64_t> to_ms() const {
    std::int64_t days = 0;
    if (day_of_year > 0) {
      if (day_of_year == 366 && !is_leap(year)) return std::nullopt;
      days = days_from_civil(year, 1, 1) + day_of_year - 1;
    } else {
      if (day > days_in_month(year, month)) return std::nullopt;
      days = days_from_civil(year, month, day);
    }
    const unsigned hours = afternoon ? hour % 12 + (*afternoon ? 12 : 0) : hour;
    const std::int64_t clock_seconds =
        std::int64_t{hours} * 3'600 + std::int64_t{minute} * 60 + second;
    const std::int64_t seconds = days * 86'400 + clock_seconds - zone_minutes * 60;
    if (seconds < 0) return std::nullopt;
    return static_cast<std::uint64_t>(seconds) * 1'000 + millisecond;
  }
};

std::optional<std::uint64_t> number_to_ms(std::string_view text, std::uint64_t scale) {
  if (const auto whole = parse_number<std::uint64_t>(text)) {
    if (static_cast<double>(*whole) * static_cast<double>(scale) > ms_max) return std::nullopt;
    return *whole * scale;
  }
  const auto value = parse_number<double>(text);
  if (!value) return std::nullopt;
  const double ms = std::floor(*value * static_cast<double>(scale));
  if (!(ms >= 0.0 && ms <= ms_max)) return std::nullopt;
  return static_cast<std::uint64_t>(ms);
}

}  // namespace

result<time_format> time_format::parse(const std::string& format) {
  time_format made;
  if (format == "unix") return made;
  if (format == "unix_ms") {
    made.kind_ = kind::unix_milliseconds;
    return made;
  }
  made.kind_ = kind::letters;
  for (std::size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') {
      made.letters_ += format[i];
      continue;
    }
    const char letter = ++i < format.size() ? format[i] : '\0';
    switch (letter) {
      case 'T':
        made.letters_ += "%H:%M:%S";
        break;
      case 'R':
        made.letters_ += "%H:%M";
        break;
      case 'F':
        made.letters_ += "%Y-%m-%d";
        break;
      case 'D':
        made.letters_ += "%m/%d/%y";
        break;
      default:
        if (letter == '\0' || plain_letters.find(letter) == std::string_view::npos) {
          return error{errc::bad_config,
                       "time_format '" + format + "': %" +
                           (letter == '\0' ? std::string() : std::string(1, letter)) +
                           " is not known; use unix, unix_ms or strptime's %Y %y %m %d %e %j %H %I "
                           "%M %S %p %b %B %T %R %F %D "
                           "%z %n %t %%"};
        }
        made.letters_ += '%';
        made.letters_ += letter;
    }
  }
  if (made.letters_.find('%') == std::string::npos) {
    return error{errc::bad_config,
                 "time_format '" + format +
                     "' has no letters; use unix, unix_ms or such as \"%Y-%m-%d %H:%M:%S\""};
  }
  return made;
}

std::optional<std::uint64_t> time_format::to_ms(std::string_view text) const {
  if (kind_ == kind::unix_seconds) return number_to_ms(text, 1'000);
  if (kind_ == kind::unix_milliseconds) return number_to_ms(text, 1);
  reading read;
  read.rest = text;
  for (std::size_t i = 0; i < letters_.size(); ++i) {
    const char wanted = letters_[i];
    if (wanted == '%' && letters_[++i] != '%') {
      if (!read.letter(letters_[i])) return std::nullopt;
    } else if (wanted == ' ') {
      read.skip_space();
    } else {
      if (read.rest.empty() || read.rest[0] != wanted) return std::nullopt;
      read.rest.remove_prefix(1);
    }
  }
  if (!read.rest.empty()) return std::nullopt;
  return read.to_ms();
}

}  // namespace headrace::worker
