#include "tests/tidy/tidy_rules.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <set>
#include <span>

namespace headrace::tests {
namespace {

using words = std::vector<std::string_view>;

// What a folder may include (docs/architecture.md, "Layers"). tests/ and bench/ may include
// anything.
const std::map<std::string_view, words> layers{
    {"base", {"base"}},
    {"schemas", {"schemas", "base"}},
    {"kernels", {"kernels", "base"}},
    {"storage", {"storage", "schemas", "base"}},
    {"ps", {"ps", "kernels", "storage", "schemas", "base"}},
    {"worker", {"worker", "kernels", "storage", "schemas", "base"}},
    {"serve", {"serve", "worker", "kernels", "storage", "schemas", "base"}},
    {"actors", {"actors", "serve", "ps", "worker", "kernels", "storage", "schemas", "base"}},
    {"cli",
     {"cli", "actors", "serve", "ps", "worker", "kernels", "storage", "schemas", "base", "bench"}},
};
const words free_folders{"tests", "bench"};

// base_core: the part of base/ that stands on the standard library alone; all that kernels/ may
// include.
const words base_core{"base/check",
                      "base/clock",
                      "base/frame",
                      "base/ids",
                      "base/random",
                      "base/result",
                      "base/zipf"};

struct library {
  std::string_view prefix;  // of the included path
  words homes;              // folders
};
// One library, one home (design §3). The longest prefix that fits counts.
const std::vector<library> libraries{
    {"toml++/", {"base"}},
    {"spdlog/", {"base"}},
    {"fmt/", {"base"}},
    {"prometheus/", {"base"}},
    {"zstd", {"base"}},
    {"zlib", {"base"}},
    {"openssl/", {"base"}},
    {"capnp/", {"schemas"}},
    {"kj/", {"schemas"}},
    {"xxh", {"schemas"}},
    {"hwy/", {"kernels"}},
    {"dnnl", {"kernels"}},
    {"omp.h", {"kernels"}},
    {"oneapi/", {"kernels"}},
    {"cuda", {"kernels"}},
    {"cub/", {"kernels"}},
    {"cublas", {"kernels"}},
    {"nccl", {"kernels"}},
    {"gloo/", {"kernels"}},
    {"rocksdb/", {"storage"}},
    {"isa-l", {"storage"}},
    {"curl/", {"storage"}},
    {"nats", {"storage/engines", "worker/ingest"}},
    {"librdkafka/", {"storage/engines", "worker/ingest"}},
    {"hiredis/", {"worker/ingest"}},
    {"hnswlib/", {"ps/replica"}},
    {"simdjson", {"worker/events", "serve"}},
    {"caf/", {"actors", "cli"}},
    {"zmq", {"actors/transport"}},
    {"boost/", {"actors/http"}},
    {"CLI/", {"cli"}},
    {"lzma", {"bench"}},
};
const words test_libraries{"gtest/", "gmock/", "benchmark/", "fuzzer/"};

// What the C library and the kernel bring, besides headers without a dot or slash (the standard
// library).
const words system_prefixes{"sys/", "linux/", "netinet/", "arpa/", "sanitizer/"};
const std::set<std::string_view> system_headers{
    "cpuid.h",   "dirent.h", "dlfcn.h",    "errno.h",   "fcntl.h",    "immintrin.h",
    "malloc.h",  "netdb.h",  "poll.h",     "pthread.h", "sched.h",    "signal.h",
    "spawn.h",   "stddef.h", "stdint.h",   "stdio.h",   "stdlib.h",   "string.h",
    "termios.h", "time.h",   "ucontext.h", "unistd.h",  "xmmintrin.h"};

// Spelled so that this file does not break its own rules.
const std::string to_do = std::string("TO") + "DO";
const words machine_folders{"work", "home", "root"};

bool is_in(std::string_view path, std::string_view folder) {
  return path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/';
}
bool is_in_any(std::string_view path, const words& folders) {
  return std::any_of(
      folders.begin(), folders.end(), [&](auto folder) { return is_in(path, folder); });
}
bool starts_with_any(std::string_view text, const words& prefixes) {
  return std::any_of(
      prefixes.begin(), prefixes.end(), [&](auto prefix) { return text.starts_with(prefix); });
}

// table.test.cpp, gather.bench.cpp, push.fuzz.cpp, kernels/runtime/test_cases.hpp
bool is_test(std::string_view path) {
  const auto file = path.substr(path.rfind('/') + 1);
  const auto has = [file](auto mark) { return file.find(mark) != std::string_view::npos; };
  return is_in_any(path, free_folders) || has(".test.") || has(".bench.") || has(".fuzz.") ||
         file.starts_with("test_") || file.starts_with("bench_");
}

template <class Each>
void for_each_line(std::string_view text, Each&& each) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    each(number, text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string fault(std::string_view path, std::size_t line, const std::string& what) {
  return std::string(path) + ":" + std::to_string(line) + ": " + what;
}

// The path between <> or "" of an include line, with its opening character; empty when it is none.
std::string_view included(std::string_view line) {
  const auto skip_space = [&] {
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
  };
  skip_space();
  if (!line.starts_with('#')) return {};
  line.remove_prefix(1);
  skip_space();
  if (!line.starts_with("include")) return {};
  line.remove_prefix(7);
  skip_space();
  if (line.empty() || (line.front() != '<' && line.front() != '"')) return {};
  const auto end = line.find(line.front() == '<' ? '>' : '"', 1);
  return end == std::string_view::npos ? std::string_view{} : line.substr(0, end);
}

std::string own_include_fault(std::string_view path, std::string_view target) {
  const std::string name(target);
  const auto slash = target.find('/');
  const auto folder = target.substr(0, slash);
  const bool known =
      layers.contains(folder) ||
      std::find(free_folders.begin(), free_folders.end(), folder) != free_folders.end();
  // Headers of the C ABI are installed as one folder, so they name each other as their users do.
  if (is_in(path, "kernels/include") && name.starts_with("headrace_")) return {};
  if (slash == std::string_view::npos || !known)
    return "include \"" + name + "\" by its path from the root";
  const auto from = path.substr(0, path.find('/'));
  if (is_in_any(path, free_folders)) return {};
  if (folder == "tests") return is_test(path) ? "" : "includes test code: " + name;
  const auto layer = layers.find(from);
  if (layer == layers.end()) return {};
  const auto& allowed = layer->second;
  if (std::find(allowed.begin(), allowed.end(), folder) == allowed.end()) {
    return std::string(from) + "/ must not include " + name;
  }
  const bool core_only = from == "kernels" || starts_with_any(path, base_core);
  if (core_only && folder == "base" && !starts_with_any(target, base_core)) {
    return "may include base_core only, not " + name;
  }
  return {};
}

std::string library_fault(std::string_view path, std::string_view target) {
  const std::string name(target);
  if (starts_with_any(target, test_libraries))
    return is_test(path) ? "" : "includes a test library: " + name;
  const library* home = nullptr;
  for (const auto& candidate : libraries) {
    const bool longer = home == nullptr || candidate.prefix.size() > home->prefix.size();
    if (target.starts_with(candidate.prefix) && longer) home = &candidate;
  }
  if (home != nullptr) {
    if (is_in_any(path, free_folders)) return {};
    if (starts_with_any(path, base_core))
      return "base_core stands on the standard library alone, not " + name;
    if (is_in_any(path, home->homes)) return {};
    return "library " + name + " has its home in " + std::string(home->homes.front()) + "/";
  }
  const bool standard = target.find_first_of("./") == std::string_view::npos;
  const bool system = system_headers.contains(target) || starts_with_any(target, system_prefixes);
  return standard || system
             ? ""
             : "library " + name + " has no home yet: give it one in docs/architecture.md and here";
}

bool is_header(std::string_view path) { return path.ends_with(".hpp"); }
// Compiled once for each SIMD target: the guard toggles (Highway's foreach_target).
bool is_toggled(std::string_view path) { return path.ends_with("-inl.hpp"); }

// A path that begins with a folder of somebody's machine, and is not the tail of a longer path or
// address.
bool has_machine_path(std::string_view line) {
  for (auto at = line.find('/'); at != std::string_view::npos; at = line.find('/', at + 1)) {
    const char before = at == 0 ? ' ' : line[at - 1];
    const bool begins = std::isalnum(static_cast<unsigned char>(before)) == 0 &&
                        std::string_view("_-.})~").find(before) == std::string_view::npos;
    for (const auto folder : machine_folders) {
      const auto rest = line.substr(at + 1);
      if (begins && rest.starts_with(folder) && rest.substr(folder.size()).starts_with('/'))
        return true;
    }
  }
  return false;
}

// NAME of kernels/NAME/…_ref.cpp, empty for other paths.
std::string_view operator_of(std::string_view path) {
  constexpr std::string_view folder = "kernels/";
  if (!path.starts_with(folder) || !path.ends_with("_ref.cpp")) return {};
  const auto rest = path.substr(folder.size());
  const auto slash = rest.find('/');
  const bool direct = slash != std::string_view::npos && slash == rest.rfind('/');
  return direct ? rest.substr(0, slash) : std::string_view{};
}

// Where the first cell of a table's row begins with code type: what stands there, else empty.
std::string_view name_of_row(std::string_view line) {
  constexpr std::string_view begin = "| `";
  if (!line.starts_with(begin)) return {};
  const auto cell = line.substr(begin.size());
  return cell.substr(0, cell.find('`'));
}

bool has_loose_to_do(std::string_view line) {
  for (auto at = line.find(to_do); at != std::string_view::npos; at = line.find(to_do, at + 1)) {
    const bool word = at == 0 || std::isalnum(static_cast<unsigned char>(line[at - 1])) == 0;
    auto rest = line.substr(at + to_do.size());
    while (!rest.empty() && std::string_view("(# ").find(rest.front()) != std::string_view::npos)
      rest.remove_prefix(1);
    const bool numbered =
        !rest.empty() && std::isdigit(static_cast<unsigned char>(rest.front())) != 0;
    if (word && !numbered) return true;
  }
  return false;
}

}  // namespace

std::vector<std::string> include_faults(std::string_view path, std::string_view text) {
  std::vector<std::string> faults;
  for_each_line(text, [&](std::size_t number, std::string_view line) {
    const auto found = included(line);
    if (found.empty()) return;
    const auto target = found.substr(1);
    const auto what =
        found.front() == '"' ? own_include_fault(path, target) : library_fault(path, target);
    if (!what.empty()) faults.push_back(fault(path, number, what));
  });
  return faults;
}

std::vector<std::string> header_faults(std::string_view path, std::string_view text) {
  std::vector<std::string> faults;
  if (!is_header(path)) return faults;
  bool guarded = is_toggled(path) && text.find("HWY_TARGET_TOGGLE") != std::string_view::npos;
  for_each_line(text, [&](std::size_t number, std::string_view line) {
    guarded = guarded || line.starts_with("#pragma once");
    const auto code = line.substr(0, line.find("//"));
    if (code.starts_with("using namespace")) {  // within a function it ends with it
      faults.push_back(fault(path, number, "a header opens no namespace for who includes it"));
    }
  });
  if (!guarded) faults.push_back(fault(path, 1, "a header has `#pragma once`"));
  return faults;
}

std::vector<std::string> text_faults(std::string_view path, std::string_view text) {
  std::vector<std::string> faults;
  for_each_line(text, [&](std::size_t number, std::string_view line) {
    if (has_machine_path(line))
      faults.push_back(fault(path, number, "names a folder of one machine"));
    if (has_loose_to_do(line))
      faults.push_back(fault(path, number, to_do + " without an issue number"));
  });
  return faults;
}

std::vector<std::string> operator_faults(const std::vector<std::string>& paths,
                                         std::string_view kernels_document) {
  std::set<std::string_view> missing;
  for (const auto& path : paths) missing.insert(operator_of(path));
  missing.erase(std::string_view{});
  bool in_section = false;
  std::size_t section = 1;
  for_each_line(kernels_document, [&](std::size_t number, std::string_view line) {
    if (line.starts_with("## ")) {
      in_section = line == "## Ops";
      if (in_section) section = number;
    }
    if (in_section) missing.erase(name_of_row(line));
  });
  std::vector<std::string> faults;
  for (const auto name : missing) {
    faults.push_back(fault("docs/kernels.md", section, "no row for `" + std::string(name) + "`"));
  }
  return faults;
}

}  // namespace headrace::tests
