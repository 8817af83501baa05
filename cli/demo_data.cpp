#include "cli/demo_data.hpp"

#include "storage/http_download.hpp"
#include "worker/ingest/movielens_check.hpp"

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

extern char** environ;

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* official_url =
    "https://files.grouplens.org/datasets/movielens/ml-100k/u.data";
constexpr std::chrono::seconds pip_patience{60};

fs::path cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME")) return fs::path(cache) / "headrace";
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr ? home : "/tmp") / ".cache" / "headrace";
}

// Runs a program quietly; true when it exits with 0 within the patience. It is ended when it takes
// longer.
bool run_quietly(std::vector<std::string> arguments) {
  std::vector<char*> raw;
  for (auto& argument : arguments) raw.push_back(argument.data());
  raw.push_back(nullptr);
  posix_spawn_file_actions_t quiet;
  posix_spawn_file_actions_init(&quiet);
  posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addopen(&quiet, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  pid_t pid = 0;
  const int started = posix_spawnp(&pid, raw[0], &quiet, nullptr, raw.data(), environ);
  posix_spawn_file_actions_destroy(&quiet);
  if (started != 0) return false;
  const auto give_up = std::chrono::steady_clock::now() + pip_patience;
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > give_up) kill(pid, SIGKILL);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

std::optional<fs::path> find_below(const fs::path& folder, const std::string& suffix) {
  std::error_code failure;
  for (const auto& entry : fs::recursive_directory_iterator(folder, failure)) {
    if (entry.is_regular_file() && entry.path().string().ends_with(suffix)) return entry.path();
  }
  return std::nullopt;
}

// recbole carries ml-100k.inter as an example; wheel or source archive, unpacked by Python's own
// modules.
bool fetch_from_pypi(const fs::path& into) {
  std::string name = (fs::temp_directory_path() / "headrace-pip-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) return false;
  const fs::path folder = name;
  bool found = false;
  // A wheel runs no code when it is fetched; the source archive is the second choice.
  const std::vector<std::string> fetch{
      "python3", "-m", "pip", "download", "--quiet", "--no-deps", "-d", name, "recbole"};
  std::vector<std::string> fetch_wheel = fetch;
  fetch_wheel.insert(fetch_wheel.end() - 1, "--only-binary=:all:");
  if (run_quietly(fetch_wheel) || run_quietly(fetch)) {
    const auto wheel = find_below(folder, ".whl");
    const auto archive = find_below(folder, ".tar.gz");
    if (wheel) run_quietly({"python3", "-m", "zipfile", "-e", wheel->string(), name});
    if (archive) run_quietly({"python3", "-m", "tarfile", "-e", archive->string(), name});
    if (const auto rows = find_below(folder, "ml-100k.inter")) {
      std::error_code failure;
      found = fs::copy_file(*rows, into, fs::copy_options::overwrite_existing, failure);
    }
  }
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return found;
}

bool is_movielens(const fs::path& file) {
  const auto checked = worker::check_movielens(file);
  return checked.ok();
}

result<demo_data> use_given(const fs::path& given) {
  demo_data found;
  for (const fs::path& candidate : {given / "u.data", given / "ml-100k.inter", given}) {
    if (!fs::is_regular_file(candidate)) continue;
    found.file = fs::absolute(candidate);
    found.has_header = candidate.extension() == ".inter";
    found.description = "MovieLens-100K from " + candidate.filename().string();
    if (!is_movielens(candidate)) {
      found.description = "given file " + candidate.filename().string();
      found.warning = "the rows of '" + candidate.string() +
                      "' are not those of MovieLens-100K; training on them all the same";
    }
    return found;
  }
  return error{errc::bad_input,
               "--data '" + given.string() + "' holds neither u.data nor ml-100k.inter"};
}

}  // namespace

result<demo_data> find_demo_data(const std::optional<fs::path>& given) {
  if (given) return use_given(*given);
  const fs::path cache = cache_folder();
  const fs::path plain = cache / "u.data";
  const fs::path typed = cache / "ml-100k.inter";
  if (fs::exists(plain) && is_movielens(plain))
    return demo_data{plain, false, "MovieLens-100K (cache)", {}};
  if (fs::exists(typed) && is_movielens(typed))
    return demo_data{typed, true, "MovieLens-100K (cache)", {}};
  std::error_code failure;
  fs::create_directories(cache, failure);
  if (storage::http_download(official_url, plain, {}).ok()) {
    if (is_movielens(plain)) return demo_data{plain, false, "MovieLens-100K (grouplens.org)", {}};
    fs::remove(plain, failure);
  }
  if (fetch_from_pypi(typed)) {
    if (is_movielens(typed)) return demo_data{typed, true, "MovieLens-100K (PyPI recbole)", {}};
    fs::remove(typed, failure);
  }
  return demo_data{std::nullopt,
                   false,
                   "generated stream (planted CTR set)",
                   "MovieLens-100K cannot be reached: using the built-in generated stream instead"};
}

}  // namespace headrace::cli
