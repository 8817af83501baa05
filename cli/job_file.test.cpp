#include "cli/job/job_file.hpp"

#include "cli/job/model_section.hpp"
#include "cli/verb_check.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <unistd.h>

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::Not;

const fs::path source_root = fs::path(__FILE__).parent_path().parent_path();

constexpr const char* file_job =
    "[job]\nname = \"clicks\"\n"
    "[source]\nuri = \"file:///data/clicks.csv\"\nlabel = \"click > 0\"\n"
    "[features.user]\n[features.ad]\n";
constexpr const char* generated_job = "[job]\nname = \"g\"\n[source]\nuri = \"generate:planted\"\n";

job good(const std::string& text, const std::vector<std::string>& overrides = {}) {
  auto made = parse_job(text, "job.toml", overrides);
  EXPECT_TRUE(made.ok()) << (made.ok() ? "" : describe(made.error()));
  return made.ok() ? std::move(*made) : job{};
}

std::string failure(const std::string& text, const std::vector<std::string>& overrides = {}) {
  const auto made = parse_job(text, "job.toml", overrides);
  if (made.ok()) return "no failure";
  EXPECT_EQ(made.error().code, errc::bad_config);
  EXPECT_EQ(made.error().detail.find('\n'), std::string::npos);
  return made.error().detail;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

class scratch_file {
 public:
  explicit scratch_file(const std::string& text) {
    std::string name = fs::temp_directory_path() / "headrace-job-XXXXXX";
    const int made = ::mkstemp(name.data());
    EXPECT_GE(made, 0);
    ::close(made);
    std::ofstream(name, std::ios::binary) << text;
    path = name;
  }
  ~scratch_file() { fs::remove(path); }
  fs::path path;
};

TEST(JobFile, AFileNeedsLittleAndTheDefaultsFillTheRest) {
  const job made = good(file_job);
  EXPECT_EQ(made.name, "clicks");
  EXPECT_EQ(made.source.name, "events");
  EXPECT_EQ(made.source.separator, ",");
  EXPECT_TRUE(made.source.header);
  EXPECT_TRUE(made.source.quotes);
  EXPECT_EQ(made.source.label.column, "click");
  EXPECT_EQ(made.source.label.is, worker::label_spec::comparison::greater);
  ASSERT_EQ(made.source.features.size(), 2U);
  EXPECT_EQ(made.source.features[0].name, "user");
  EXPECT_EQ(made.source.features[1].column, "ad");
  EXPECT_EQ(made.source.features[1].salt, "ad");
  EXPECT_EQ(made.model_name, "fm");
  EXPECT_EQ(made.pace_duration_ns, 0U);
  EXPECT_EQ(made.schema.shards, 4U);
  EXPECT_EQ(made.train.staleness_max, UINT64_MAX);
  EXPECT_EQ(made.durability.log, schemas::log_mode::fsync);
  EXPECT_EQ(made.listen, "tcp://127.0.0.1:7411");
}

TEST(JobFile, TheJobsOfTheKillTestLoadAsTheyAre) {
  for (const std::string model :
       {"[model]\narch = \"count\"\n", "[model]\narch = \"fm\"\ndim = 4\n"}) {
    const job made = good(
        "[job]\nname = \"counts\"\n[source]\nuri = \"generate:planted\"\nrows = 24000\nduration = "
        "\"10s\"\n" +
        model +
        "[train]\nbatch_max = 8\nbatch_wait = \"1ms\"\nin_flight = 2\npush = \"fp32\"\n"
        "[shards]\ncount = 4\n[durability]\nlog = \"os\"\nflush_interval = \"300ms\"\n");
    EXPECT_EQ(made.source.generate, worker::generator::planted);
    EXPECT_EQ(made.source.rows, 24'000U);
    EXPECT_EQ(made.pace_duration_ns, 10'000'000'000U);
    EXPECT_EQ(made.train.batch_wait_ns, 1'000'000U);
    for (const auto push : made.train.push.tables) EXPECT_EQ(push, worker::push_choice::fp32);
    EXPECT_EQ(made.durability.flush_interval_ms, 300U);
    EXPECT_TRUE(made.source.features.empty());
  }
}

TEST(JobFile, TablesFollowFromTheModel) {
  const auto tables_of = [](const std::string& model) {
    return good(generated_job + model).schema.tables;
  };
  const auto fm =
      tables_of("[model]\ndim = 4\n[tables.embedding]\noptimizer = { lr = 0.3, first_lr = 0.2 }\n");
  ASSERT_EQ(fm.size(), 2U);
  EXPECT_EQ(fm[0].name, "embedding");
  EXPECT_EQ(fm[0].id, table_id{0});
  EXPECT_EQ(fm[0].dim, 5U);
  EXPECT_EQ(fm[0].optimizer.first_order_columns, 1U);
  EXPECT_EQ(fm[0].optimizer.rate, 0.3F);
  EXPECT_EQ(fm[0].optimizer.first_rate, 0.2F);
  EXPECT_GT(fm[0].init.scale, 0.0F);
  EXPECT_EQ(fm[1].name, "bias");
  EXPECT_EQ(fm[1].id, table_id{1});
  EXPECT_EQ(fm[1].dim, 1U);
  const auto lr =
      tables_of("[model]\narch = \"lr\"\ndim = 8\n[tables.embedding.optimizer]\nlr = 0.3\n");
  EXPECT_EQ(lr[0].dim, 1U);
  EXPECT_EQ(lr[0].optimizer.first_rate, 0.3F);
  const auto count = tables_of("[model]\narch = \"count\"\n");
  EXPECT_EQ(count[0].dim, 1U);
  EXPECT_EQ(count[0].optimizer.kind, schemas::optimizer_kind::add);
  EXPECT_EQ(count[0].optimizer.first_order_columns, 0U);
  EXPECT_EQ(count[0].init.scale, 0.0F);
  EXPECT_EQ(count.size(), 1U);
}

TEST(JobFile, RatesMayFollowTheBatches) {
  using schemas::schedule_kind;
  const auto deep = [](const std::string& more) {
    return std::string(generated_job) + "[model]\narch = \"deepfm\"\n" + more;
  };
  const job made = good(deep(
      "[tables.dense.optimizer]\nschedule = \"cosine\"\nwarmup_batches = 10\ntotal_batches = 90\n"
      "floor = 0.1\n[tables.embedding.optimizer]\nschedule = \"warmup\"\n"));
  for (std::size_t t = 0; t < made.schema.tables.size(); ++t) {
    const auto& schedule = made.schema.tables[t].optimizer.schedule;
    if (made.model->tables()[t].network) {
      EXPECT_EQ(schedule, (schemas::schedule_spec{schedule_kind::cosine, 10, 90, 0.1F}));
    } else if (made.schema.tables[t].name == "embedding") {
      EXPECT_EQ(schedule, (schemas::schedule_spec{schedule_kind::warmup, 1'000, 0, 0.0F}));
    }
  }
  EXPECT_EQ(good(made.text).schema, made.schema);
  const auto refused = [&](const std::string& optimizer) {
    return failure(deep("[tables.embedding.optimizer]\n" + optimizer));
  };
  EXPECT_THAT(refused("schedule = \"linear\"\n"), HasSubstr("\"warmup\" | \"cosine\""));
  EXPECT_THAT(refused("schedule = \"cosine\"\nwarmup_batches = 10\n"),
              HasSubstr("total_batches: accepted is more than warmup_batches"));
  EXPECT_THAT(refused("warmup_batches = 10\n"), HasSubstr("unknown key"));
  EXPECT_THAT(refused("schedule = \"warmup\"\nfloor = 0.1\n"), HasSubstr("unknown key"));
  EXPECT_THAT(refused("kind = \"ftrl\"\nschedule = \"warmup\"\n"), HasSubstr("unknown key"));
}

TEST(JobFile, LabelsAreComparisonsOfAColumnWithANumber) {
  using is = worker::label_spec::comparison;
  struct label {
    const char* text;
    const char* column;
    is meaning;
    double threshold;
  };
  const label cases[] = {{"rating >= 4", "rating", is::greater_equal, 4},
                         {"Quantity < 0", "Quantity", is::less, 0},
                         {"a<=-1.5e3", "a", is::less_equal, -1500},
                         {"a == 1", "a", is::equal, 1},
                         {"a = 1", "a", is::equal, 1},
                         {"a != 0", "a", is::not_equal, 0},
                         {"Unit Price > 3", "Unit Price", is::greater, 3},
                         {"3 > 0", "3", is::greater, 0}};
  for (const auto& one : cases) {
    const job made = good(file_job, {std::string("source.label=\"") + one.text + "\""});
    EXPECT_EQ(made.source.label.column, one.column) << one.text;
    EXPECT_EQ(made.source.label.is, one.meaning) << one.text;
    EXPECT_EQ(made.source.label.threshold, one.threshold) << one.text;
  }
  for (const char* wrong : {"rating",
                            "rating >=",
                            ">= 4",
                            "rating >= four",
                            "rating >= nan",
                            "rating >< 3",
                            "a > 1 2"}) {
    EXPECT_THAT(failure(file_job, {std::string("source.label=") + wrong}),
                HasSubstr("--set source.label"))
        << wrong;
  }
}

TEST(JobFile, EachTableSaysHowItIsPushedAndDenseSpeaksForTheNetwork) {
  using worker::push_choice;
  const std::string start = "[job]\nname = \"clicks\"\n[source]\nuri = \"generate:planted\"\n";
  const std::string deep = start + "[model]\narch = \"deepfm\"\ndim = 4\n";
  const auto of = [](const job& made, std::string_view table) {
    for (const auto& spec : made.schema.tables) {
      if (spec.name == table) return made.train.push.tables[spec.id.value];
    }
    ADD_FAILURE() << "no table " << table;
    return push_choice::fp32;
  };
  const job plain = good(deep + "[train]\npush = \"fp32\"\n");
  EXPECT_EQ(plain.train.push.tables,
            std::vector<push_choice>(plain.schema.tables.size(), push_choice::fp32));
  EXPECT_FALSE(plain.train.push.packed_keys);
  const job mixed = good(deep +
                         "[tables.dense]\npush = \"topk5\"\n[tables.deep2_weights]\npush = "
                         "\"auto\"\n[tables.embedding]\npush = \"int4\"\n[train]\npush_keys = "
                         "\"packed\"\n");
  EXPECT_EQ(of(mixed, "embedding"), push_choice::int4);
  EXPECT_EQ(of(mixed, "bias"), push_choice::int8);
  EXPECT_EQ(of(mixed, "deep1_weights"), push_choice::topk5);
  EXPECT_EQ(of(mixed, "deep2_weights"), push_choice::automatic);
  EXPECT_TRUE(mixed.train.push.packed_keys);
  const auto fast = parse_job(
      deep + "[tables.dense]\npush = \"topk10\"\noptimizer = { kind = \"adam\", beta2 = 0.99 }\n",
      "job.toml",
      {});
  ASSERT_FALSE(fast.ok());
  EXPECT_THAT(fast.error().detail, testing::HasSubstr("beta2 of 0.999 or more"));
  // Idle experts aren't pushed, so nothing that was left out could be sent later.
  const std::string routed =
      deep +
      "[layers.routed]\nop = \"routed_experts\"\ninputs = [\"deep2\"]\nhidden = 8\n"
      "[layers.deep3]\ninputs = [\"routed\"]\n";
  const job sparse = good(routed + "[tables.dense]\npush = \"topk5\"\n");
  EXPECT_EQ(of(sparse, "routed_router"), push_choice::topk5);
  EXPECT_EQ(of(sparse, "routed_first"), push_choice::int8);
  EXPECT_EQ(of(good(routed + "[tables.dense]\npush = \"int4\"\n"), "routed_first"),
            push_choice::int4);
  EXPECT_THAT(failure(routed + "[tables.routed_second]\npush = \"topk5\"\n"),
              HasSubstr("pushed only while their expert has something to learn"));
  EXPECT_FALSE(parse_job(start + "[model]\narch = \"fm\"\n[tables.dense]\npush = \"topk5\"\n",
                         "job.toml",
                         {})
                   .ok());  // no network: an unknown key
}

TEST(JobFile, PrecisionIsF32UnlessTheJobAsksForAnother) {
  const std::string text = generated_job;
  EXPECT_EQ(good(text).train.precision, worker::precision_choice::f32);
  EXPECT_EQ(good(text).train.activations, worker::activations::keep);
  EXPECT_EQ(good(text + "[train]\nactivations = \"recompute\"\n").train.activations,
            worker::activations::recompute);
  EXPECT_EQ(good(text + "[train]\nprecision = \"auto\"\n").train.precision,
            worker::precision_choice::automatic);
  EXPECT_EQ(good(text + "[train]\nprecision = \"bf16\"\n").train.precision,
            worker::precision_choice::bf16);
}

TEST(JobFile, StepsRunOnTheCpuUnlessTheJobAsksForADevice) {
  const std::string text = generated_job;
  EXPECT_EQ(good(text).train.device, worker::device_choice::cpu);
  EXPECT_EQ(good(text + "[train]\ndevice = \"auto\"\n").train.device,
            worker::device_choice::automatic);
  EXPECT_EQ(good(text + "[train]\ndevice = \"cuda\"\n").train.device, worker::device_choice::cuda);
}

TEST(JobFile, WrongValuesNamePlaceKeyAndWhatIsAccepted) {
  struct wrong {
    const char* set;
    const char* says;
  };
  const wrong cases[] = {
      {"shards.count=0", "shards.count = 0: accepted is a whole number, 1 … 1024"},
      {"shards.count=1025", "shards.count = 1025: accepted is"},
      {"model.dim=1024", "model.dim = 1024: accepted is a whole number, 1 … 1023"},
      {"model.dim=0", "model.dim = 0: accepted is"},
      {"model.arch=fn", "model.arch = \"fn\": accepted is \"lr\" | \"fm\" | \"deepfm\" | \"dlrm\""},
      {"train.batch_max=0", "train.batch_max = 0: accepted is"},
      {"train.batch_wait=1", "train.batch_wait = 1: accepted is a duration"},
      {"train.in_flight=0", "train.in_flight = 0"},
      {"train.staleness=-1", "train.staleness = -1"},
      {"train.push=int4", "\"int8\" | \"fp32\""},
      {"train.push_keys=delta", "\"raw\" | \"packed\""},
      {"tables.embedding.push=topk5", "are looked up by key"},
      {"tables.embedding.push=auto", "accepted here is \"int8\" | \"fp32\" | \"int4\""},
      {"tables.embedding.push=top5", "\"topk5\" | \"topk10\" | \"auto\""},
      {"train.freeze_at=1.5", "train.freeze_at = 1.5: accepted is a number, 0.0 … 1.0"},
      {"train.mix_history=0.9375", "train.mix_history = 0.9375: accepted is a number, 0.0 … 0.9"},
      {"train.mix_history=-0.5", "train.mix_history = -0.5: accepted is"},
      {"train.history_batches=10", "needs train.mix_history"},
      {"train.activations=some", "\"keep\" | \"recompute\""},
      {"train.device=gpu", "\"auto\" | \"cpu\" | \"cuda\""},
      {"train.precision=half", "\"auto\" | \"f32\" | \"bf16\" | \"fp16\""},
      {"durability.log=sync", "\"none\" | \"os\" | \"fsync\""},
      {"server.listen=tcp://0.0.0.0:7411", "not loopback"},
      {"server.listen=tcp://127.0.0.1:70000", "the port is a number"},
      {"server.listen=ipc://socket", "expected ipc:///absolute/path"},
      {"source.uri=ftp://x/y", "accepted is file:///path"},
      {"source.uri=generate:plantde", "generate:planted | generate:planted_drift"},
      {"source.name=a b", "letters, digits"},
      {"job.name=", "letters, digits"},
      {"source.separator=", "1 … 8 bytes"},
      {"source.sort=time", "needs source.time"},
      {"source.time_format=%Q", "source.time_format"},
      {"features.user.column=0", "counted from 1"},
      {"features.user.transform=log1p", "needs kind = \"float\""},
      {"features.user.kind=string", "\"id\" | \"float\" | \"ids\""},
      {"features.user.max=3", "needs kind = \"ids\""},
      {"features.user.list_separator=|", "needs kind = \"ids\""},
      {"features.user.held_out=1", "needs kind = \"ids\""},
      {"features.user.bucket_width=2", "needs transform = \"bucket\""},
      {"tables.embedding.optimizer.lr=-1", "tables.embedding.optimizer.lr = -1: accepted is"},
      {"tables.embedding.optimizer.kind=add", "\"adagrad\" | \"sgd\""},
      {"tables.bias.optimizer.first_lr=1", "unknown key tables.bias.optimizer.first_lr"},
      {"train.batchmax=4", "unknown key train.batchmax; did you mean train.batch_max?"},
  };
  for (const auto& one : cases) {
    EXPECT_THAT(failure(file_job, {one.set}), HasSubstr(one.says)) << one.set;
    EXPECT_THAT(failure(file_job, {one.set}), HasSubstr("--set ")) << one.set;
  }
  EXPECT_THAT(failure(std::string(file_job) + "[train]\nbatch_max = 70000\n"),
              testing::StartsWith("job.toml:9: train.batch_max"));
}

TEST(JobFile, TextsHaveBounds) {
  const job made = good(std::string(file_job) +
                        "[texts.body]\ncolumn = \"ad\"\nchars_min = 3\nsymbols_max = 0.25\n"
                        "scripts = [\"latin\", \"kana\"]\nnear = 3\n");
  ASSERT_EQ(made.source.texts.size(), 1U);
  const auto& text = made.source.texts[0];
  EXPECT_EQ(text.column, "ad");
  EXPECT_EQ(text.chars_min, 3U);
  EXPECT_EQ(text.symbols_max, 0.25);
  EXPECT_EQ(text.scripts, 1U << 0 | 1U << 23);
  EXPECT_EQ(text.near, 3U);
  EXPECT_EQ(text.near_window, 100'000U);
  EXPECT_EQ(good(file_job).source.texts.size(), 0U);
  const auto wrong = [](const char* set) { return failure(file_job, {"texts.ad.column=ad", set}); };
  EXPECT_THAT(wrong("texts.ad.near=4"), HasSubstr("0 … 3"));
  EXPECT_THAT(wrong("texts.ad.scripts=latn"), HasSubstr("did you mean 'latin'?"));
  EXPECT_THAT(wrong("texts.ad.symbols_max=2"), HasSubstr("0.0 … 1.0"));
  const job live =
      good(std::string(file_job) + "[texts.ad]\nnear = 0\n", {"source.uri=http://127.0.0.1:0"});
  EXPECT_EQ(live.source.texts.size(), 1U);
  const auto generated = parse_job(generated_job, "texts.toml", {"texts.ad.chars_min=3"});
  ASSERT_FALSE(generated.ok());
  EXPECT_THAT(generated.error().detail, HasSubstr("a generated stream has no texts"));
}

TEST(JobFile, HistoryIsOfAStreamThatGoesByOnce) {
  EXPECT_EQ(good(file_job).train.mix_history, 0.0);
  const job mixed =
      good(std::string(file_job) + "[train]\nmix_history = 0.1\nhistory_batches = 1000\n");
  EXPECT_EQ(mixed.train.mix_history, 0.1);
  EXPECT_EQ(mixed.train.history_batches, 1'000U);
  EXPECT_THAT(failure(file_job, {"train.mix_history=0.1", "replay.passes=2"}),
              HasSubstr("with replay.passes = 2 every event comes again"));
  // What is mixed in has to fit, too.
  const std::vector<std::string> most{"train.batch_max=1680", "shards.count=1"};
  EXPECT_TRUE(parse_job(generated_job, "fits.toml", most).ok());
  const auto wide =
      parse_job(generated_job, "wide.toml", {most[0], most[1], "train.mix_history=0.1"});
  ASSERT_FALSE(wide.ok());
  EXPECT_THAT(wide.error().detail, HasSubstr("batch_max with its history"));
  EXPECT_TRUE(parse_job(generated_job,
                        "less.toml",
                        {"train.batch_max=1500", "shards.count=1", "train.mix_history=0.1"})
                  .ok());
}

// Rows that name their columns, in a job of its own: nothing else is said of columns.
std::string named_rows(const std::string& format, const std::string& more = {}) {
  return "[job]\nname = \"rows\"\n[source]\nuri = \"/data/rows\"\nformat = \"" + format +
         "\"\nlabel = \"label > 0\"\n" + more +
         "[features.words]\nkind = \"ids\"\ncolumn = \"indices\"\n[features.third]\ncolumn = 3\n"
         "[model]\narch = \"fm\"\n";
}

TEST(JobFile, RowsMayNameTheirColumns) {
  const job svm = good(named_rows("libsvm"));
  EXPECT_EQ(svm.source.format, worker::row_format::libsvm);
  EXPECT_EQ(svm.source.features[0].column, "indices");
  EXPECT_EQ(svm.source.features[1].column, "3");
  EXPECT_EQ(good(named_rows("libsvm"), {"features.third.column=0"}).source.features[1].column, "0");
  EXPECT_THAT(failure(named_rows("libsvm"), {"features.third.column=user"}),
              HasSubstr("label, qid, indices"));
  const job json = good(named_rows("jsonl", "max_row_bytes = \"1MiB\"\nmax_bad_rows = 7\n"));
  EXPECT_EQ(json.source.format, worker::row_format::jsonl);
  EXPECT_EQ(json.source.row_bytes_max, std::uint64_t{1} << 20);
  EXPECT_EQ(json.source.bad_rows_max, 7U);
  for (const char* line : {"separator = \",\"\n",
                           "header = true\n",
                           "quotes = false\n",
                           "rest = false\n",
                           "columns = [\"a\"]\n"}) {
    EXPECT_THAT(failure(named_rows("jsonl", line)),
                HasSubstr("says nothing of source.format = \"jsonl\""))
        << line;
  }
  EXPECT_THAT(failure(named_rows("json")), HasSubstr("\"csv\" | \"tsv\" | \"jsonl\" | \"libsvm\""));
}

TEST(JobFile, StandardInputHasNoDuration) {
  EXPECT_EQ(good(file_job, {"source.uri=-"}).source.uri, "-");
  EXPECT_EQ(good(file_job, {"source.uri=stdin:"}).source.uri, "-");
  EXPECT_THAT(failure(file_job, {"source.uri=-", "source.duration=5s"}),
              HasSubstr("not standard input"));
}

TEST(JobFile, FloatFeaturesTakeTransformsWithBucketLast) {
  const job made = good(file_job,
                        {"features.price.kind=float",
                         "features.price.transform=[\"log1p\", \"bucket\"]",
                         "features.price.bucket_width=0.5",
                         "features.price.column=7"});
  const auto& price = made.source.features[2];
  EXPECT_EQ(price.column, "7");
  EXPECT_THAT(price.transforms,
              testing::ElementsAre(worker::transform::log1p, worker::transform::bucket));
  EXPECT_EQ(price.bucket_width, 0.5);
  for (const char* wrong : {"[\"bucket\", \"log1p\"]", "[\"bucket\", \"bucket\"]", "sqrt", "3"}) {
    EXPECT_THAT(
        failure(file_job,
                {"features.user.kind=float", std::string("features.user.transform=") + wrong}),
        HasSubstr("features.user.transform"))
        << wrong;
  }
}

TEST(JobFile, ListsOfIdsHaveASeparatorAndALength) {
  const std::string kind = "features.user.kind=ids";
  const auto plain = good(file_job, {kind}).source.features[0];
  EXPECT_EQ(plain.kind, worker::feature_kind::ids);
  EXPECT_EQ(plain.list_separator, " ");
  EXPECT_EQ(plain.list_max, 50U);
  const job made =
      good(file_job,
           {kind, "features.user.list_separator=|", "features.user.max=7", "source.rest=true"});
  EXPECT_EQ(made.source.features[0].list_separator, "|");
  EXPECT_EQ(made.source.features[0].list_max, 7U);
  EXPECT_TRUE(made.source.rest);
  EXPECT_FALSE(made.source.quotes);
  EXPECT_EQ(plain.list_held_out, 0U);
  EXPECT_EQ(good(file_job, {kind, "features.user.held_out=2"}).source.features[0].list_held_out,
            2U);
  EXPECT_THAT(failure(file_job, {kind, "features.user.held_out=-1"}), HasSubstr("0 … 1024"));
  EXPECT_THAT(failure(file_job, {kind, "features.user.max=1025"}), HasSubstr("1 … 1024"));
  EXPECT_THAT(failure(file_job, {kind, "features.user.list_separator="}), HasSubstr("1 … 8 bytes"));
  EXPECT_THAT(failure(file_job, {"source.rest=true", "source.quotes=true"}),
              HasSubstr("needs quotes = false"));
  EXPECT_THAT(failure(file_job, {kind, "features.user.max=1000", "train.batch_max=65536"}),
              HasSubstr("1001 keys of a sample"));
}

TEST(JobFile, ASourceMayBeReplayedAndValidatedBetweenItsPasses) {
  const auto once = good(file_job).replay;
  EXPECT_FALSE(once.needed());
  EXPECT_EQ(once.validate_every, 0U);
  const auto often = good(file_job, {"replay.passes=3", "replay.seed=7"}).replay;
  EXPECT_TRUE(often.needed());
  EXPECT_FALSE(often.shuffle);
  EXPECT_EQ(often.seed, 7U);
  EXPECT_TRUE(good(file_job, {"replay.shuffle=true"}).replay.needed());
  EXPECT_THAT(failure(file_job, {"replay.passes=101"}), HasSubstr("1 … 100"));
  EXPECT_THAT(failure(file_job, {"replay.passes=0"}), HasSubstr("1 … 100"));
  EXPECT_THAT(failure(file_job, {"replay.patience=2"}), HasSubstr("replay.validate_every"));
  EXPECT_THAT(failure(file_job, {"replay.validate_every=1"}), HasSubstr("next_item"));
  const std::vector<std::string> next{
      "features.ad.kind=ids", "model.arch=sasrec", "replay.validate_every=2"};
  EXPECT_THAT(failure(file_job, next), HasSubstr("needs features.ad.held_out = 2"));
  auto held_out = next;
  held_out.insert(held_out.end(), {"features.ad.held_out=2", "replay.patience=5"});
  const job made = good(file_job, held_out);
  EXPECT_EQ(made.replay.patience, 5U);
  EXPECT_EQ(list_feature(made.source, 0).name, "ad");
}

TEST(JobFile, ColumnsAreCheckedWhereTheyAreKnown) {
  const std::string named = "source.columns=[\"user\", \"ad\", \"click\"]";
  good(file_job, {"source.header=false", named});
  good(file_job, {"source.header=false", named, "source.label=3 > 0", "features.user.column=1"});
  good(file_job,
       {"source.header=false",
        "source.label=3 > 0",
        "features.user.column=1",
        "features.ad.column=2"});
  EXPECT_THAT(
      failure(file_job, {"source.header=false", "source.columns=[\"usr\", \"ad\", \"click\"]"}),
      HasSubstr("no such column 'user' among the 3 of source.columns; did you mean 'usr'?"));
  EXPECT_THAT(failure(file_job, {"source.header=false", named, "source.label=4 > 0"}),
              HasSubstr("no such column '4'"));
  EXPECT_THAT(failure(file_job, {"source.header=false"}), HasSubstr("no column has a name"));
  EXPECT_THAT(failure(file_job, {"source.columns=[\"a\", \"a\"]"}),
              HasSubstr("'a' is there twice"));
}

TEST(JobFile, SeveralLabelsAreNamedByTheirColumns) {
  const job two = good(file_job, {"source.label=[\"click > 0\", \"buy >= 2\"]"});
  ASSERT_EQ(two.source.more_labels.size(), 1U);
  EXPECT_EQ(two.source.label.column, "click");
  EXPECT_EQ(two.source.more_labels[0].threshold, 2.0);
  EXPECT_THAT(labels_of(two.source), testing::ElementsAre("click", "buy"));
  EXPECT_EQ(good(two.text).text, two.text);
  const job shared =
      good(file_job, {"source.label=[\"watch > 0\", \" watch > 60 \", \"buy > 0\"]"});
  EXPECT_THAT(labels_of(shared.source), testing::ElementsAre("watch > 0", "watch > 60", "buy"));
  EXPECT_THAT(good(file_job).text, HasSubstr("\nlabel = \"click > 0\"\n"));  // no list of one
  EXPECT_THAT(good(generated_job).text, HasSubstr("\nlabel = \"\"\n"));
  EXPECT_THAT(failure(file_job, {"source.label=[\"click > 0\", \"buy\"]"}),
              HasSubstr("COLUMN < <= == != >= > NUMBER"));
  EXPECT_THAT(failure(file_job, {"source.label=[\"click > 0\", \"click > 0\"]"}),
              HasSubstr("'click > 0' is there twice"));
  EXPECT_THAT(failure(file_job, {"source.label=[]"}), HasSubstr("a comparison is needed"));
  EXPECT_THAT(failure(file_job,
                      {"source.columns=[\"user\", \"ad\", \"click\"]",
                       "source.label=[\"click > 0\", \"clik > 1\"]"}),
              HasSubstr("no such column 'clik'"));
}

TEST(JobFile, AModelFindsTheLabelsOfItsJobAndANoteTellsOfTheOthers) {
  const std::string two = "source.label=[\"click > 0\", \"buy > 0\"]";
  EXPECT_TRUE(label_notes(good(file_job, {two, "model.arch=mmoe_esmm"})).empty());
  EXPECT_THAT(label_notes(good(file_job, {two})),
              testing::ElementsAre(HasSubstr("label 'buy' is not learned")));
  const job buys = good(file_job, {two, "layers.click.label=buy"});
  EXPECT_EQ(buys.model->heads()[0].name, "buy");
  EXPECT_THAT(label_notes(buys), testing::ElementsAre(HasSubstr("label 'click' is not learned")));
  EXPECT_THAT(failure(file_job, {two, "layers.click.label=by"}), HasSubstr("did you mean 'buy'?"));
  EXPECT_THAT(
      failure(file_job, {"model.arch=mmoe_esmm"}),
      HasSubstr("layers.loss.conversion_label = 2: there is no label 2; the job has 'click'"));
  const job generated =
      good(generated_job, {"source.uri=generate:planted_conversion", "model.arch=mmoe_esmm"});
  ASSERT_EQ(generated.model->heads().size(), 2U);
  EXPECT_EQ(generated.model->heads()[1].name, "conversion");
  EXPECT_TRUE(label_notes(good(generated_job)).empty());
}

TEST(JobFile, SeparatorsComeFromTheFormatOrByName) {
  EXPECT_EQ(good(file_job, {"source.format=tsv"}).source.separator, "\t");
  EXPECT_FALSE(good(file_job, {"source.format=tsv"}).source.quotes);
  EXPECT_EQ(good(file_job, {"source.separator=tab"}).source.separator, "\t");
  EXPECT_EQ(good(file_job, {"source.separator=\\t"}).source.separator, "\t");
  EXPECT_EQ(good(file_job, {"source.separator=::"}).source.separator, "::");
}

TEST(JobFile, MissingPartsSayWhatToWrite) {
  EXPECT_THAT(failure(""), HasSubstr("job.name is missing"));
  EXPECT_THAT(failure("[job]\nname = \"a\"\n"), HasSubstr("source.uri is missing"));
  EXPECT_THAT(failure("[job]\nname = \"a\"\n[source]\nuri = \"x.csv\"\n"),
              HasSubstr("such as \"rating >= 4\""));
  EXPECT_THAT(failure("[job]\nname = \"a\"\n[source]\nuri = \"x.csv\"\nlabel = \"a > 0\"\n"),
              HasSubstr("[features.NAME]"));
  EXPECT_THAT(failure("[job\nname = 1"), HasSubstr("not TOML"));
}

TEST(JobFile, TheResolvedTextIsTheSameJob) {
  std::vector<std::string> texts{std::string(file_job) + "[train]\nstaleness = 3\n", generated_job};
  for (const auto& entry : fs::directory_iterator(source_root / "deploy/config")) {
    if (entry.path().extension() == ".toml") texts.push_back(read_file(entry.path()));
  }
  ASSERT_GE(texts.size(), 7U);
  for (const auto& text : texts) {
    const job made = good(text);
    const job again = good(made.text);
    EXPECT_EQ(again.text, made.text);
    EXPECT_EQ(again.schema, made.schema);
    EXPECT_EQ(again.model_name, made.model_name);
    EXPECT_EQ(again.train.staleness_max, made.train.staleness_max);
    EXPECT_EQ(again.source.separator, made.source.separator);
    ASSERT_EQ(again.source.features.size(), made.source.features.size());
    for (std::size_t i = 0; i < made.source.features.size(); ++i) {
      EXPECT_EQ(again.source.features[i].name, made.source.features[i].name);
      EXPECT_EQ(again.source.features[i].transforms, made.source.features[i].transforms);
    }
  }
}

TEST(JobFile, ShippedJobsSayWhatTheIssueAsks) {
  const auto load = [](const char* file) {
    auto made = load_job(source_root / "deploy/config" / file, {});
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : describe(made.error()));
    return made.ok() ? std::move(*made) : job{};
  };
  const job movielens = load("movielens.toml");
  EXPECT_EQ(movielens.train.batch_max, 4U);
  EXPECT_EQ(movielens.train.in_flight, 1U);
  EXPECT_EQ(movielens.pace_duration_ns, 20'000'000'000U);
  EXPECT_EQ(movielens.durability.log, schemas::log_mode::os);
  EXPECT_TRUE(movielens.source.sort_by_time);
  EXPECT_EQ(movielens.source.separator, "\t");
  const job criteo = load("criteo.toml");
  EXPECT_EQ(criteo.source.columns.size(), 40U);
  EXPECT_EQ(criteo.source.features.size(), 39U);
  EXPECT_EQ(criteo.train.freeze_at, 0.75);
  EXPECT_EQ(load("online_retail.toml").source.features.size(), 4U);
  EXPECT_EQ(load("planted.toml").source.generate, worker::generator::planted);
  EXPECT_EQ(load("planted_drift.toml").source.generate, worker::generator::planted_drift);
  EXPECT_EQ(load("planted_conversion.toml").model->heads().size(), 2U);
  EXPECT_EQ(load("sequences.toml").replay.passes, 100U);
}

// The resolved text of a job of live events.
std::string live_text(const std::string& source) {
  return good("[job]\nname = \"live\"\n[features.user]\n[model]\narch = \"lr\"\n[source]\n" +
              source)
      .text;
}

TEST(JobFile, EachKeyIsDocumentedAndEachDocumentedKeyExists) {
  const std::string page = read_file(source_root / "docs/job-file.md");
  const std::string text =
      good(std::string(file_job) +
           "kind = \"float\"\ntransform = \"bucket\"\n[features.seen]\nkind = \"ids\"\n"
           "[texts.seen]\nnear = 3\n[model]\ndim = 4\n[train]\nstaleness = 3\n")
          .text +
      live_text(
          "uri = \"http://127.0.0.1:0\"\n[join]\nactions = \"click\"\nwindow = \"1s\"\n"
          "[features.clicks]\nkind = \"count\"\nof = \"user\"\nover = \"1h\"\n") +
      live_text("uri = \"kafka://h:1\"\ntopics = \"t\"\nlabel = \"click > 0\"\n") +
      live_text(
          "uri = \"nats://h:1\"\nstream = \"s\"\nlabel = \"click > 0\"\n[samples]\n"
          "engine = \"jetstream\"\nurl = \"nats://h:1\"\nstream = \"s\"\n");
  std::istringstream lines(text);
  std::string section;
  int keys = 0;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("[")) section = line.substr(1, line.size() - 2);
    const auto equals = line.find(" = ");
    if (line.starts_with("[") || equals == std::string::npos) continue;
    if (section.starts_with("layers.")) continue;  // docs/model-file.md
    std::string key = line.substr(0, equals);
    for (const std::string part : {"optimizer", "init", "admit", "expire"}) {
      if (section.ends_with("." + part)) key = part + "." + key;
    }
    EXPECT_THAT(page, HasSubstr("| `" + key + "` |")) << section;
    ++keys;
  }
  EXPECT_GE(keys, 40);
  std::istringstream rows(page);
  for (std::string row; std::getline(rows, row);) {
    if (!row.starts_with("| `")) continue;
    const std::string key = row.substr(3, row.find('`', 3) - 3);
    if (key.find("://") != std::string::npos) continue;  // values of `uri`
    if (key == "file") continue;  // the layers of that file stand there instead
    const std::string last = key.substr(key.rfind('.') + 1);
    EXPECT_THAT(text, HasSubstr("\n" + last + " = ")) << "documented, but no such key: " << key;
  }
}

TEST(JobFile, SamplesAreKeptInTheFolderOrByAStream) {
  EXPECT_EQ(good(std::string(file_job)).samples.engine, sample_engine::segments);
  const std::vector<std::string> kept{
      "samples.engine=jetstream", "samples.url=nats://a:1,b:2", "samples.stream=clicks_samples"};
  const auto made = parse_job(file_job, "job.toml", kept);
  ASSERT_TRUE(made.ok()) << describe(made.error());
  EXPECT_EQ(made->samples.servers, "nats://a:1,nats://b:2");
  EXPECT_EQ(made->samples.stream, "clicks_samples");
  EXPECT_TRUE(parse_job(made->text, "resolved.toml", {}).ok());
  const auto failure = [&](const std::string& key, const std::string& value) {
    auto set = kept;
    set.push_back("samples." + key + "=" + value);
    const auto refused = parse_job(file_job, "job.toml", set);
    return refused.ok() ? "no failure" : refused.error().detail;
  };
  EXPECT_THAT(failure("url", "http://a:1"), HasSubstr("nats://HOST:PORT"));
  EXPECT_THAT(failure("url", "nats://a:1,"), HasSubstr("nats://HOST:PORT"));
  EXPECT_THAT(failure("url", "nats://me@a:1"), HasSubstr("nats://HOST:PORT"));
  EXPECT_THAT(failure("stream", "a.b"), HasSubstr("samples.stream"));
  EXPECT_THAT(failure("engine", "segments"), HasSubstr("needs samples.engine"));
  EXPECT_THAT(failure("engine", "kafkaesque"), HasSubstr("jetstream"));
}

TEST(JobFile, ABatchThatOneShardCouldNotTakeIsRefusedWithTheBound) {
  const auto wide =
      parse_job(generated_job, "wide.toml", {"train.batch_max=20000", "shards.count=1"});
  ASSERT_FALSE(wide.ok());
  EXPECT_EQ(wide.error().code, errc::bad_config);
  EXPECT_THAT(wide.error().detail, HasSubstr("batch_max"));
  EXPECT_THAT(wide.error().detail, HasSubstr("1 … 1680"));  // 65,536 rows of 39 features
  EXPECT_TRUE(
      parse_job(generated_job, "fits.toml", {"train.batch_max=1680", "shards.count=1"}).ok());
}

TEST(JobFile, TheFileItselfMayBeMissing) {
  const auto missing = load_job("/nonexistent/job.toml", {});
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, errc::not_found);
  EXPECT_THAT(missing.error().detail, HasSubstr("/nonexistent/job.toml"));
  EXPECT_FALSE(load_job(fs::temp_directory_path(), {}).ok());
}

TEST(Check, ReadsTheFirstRowsAndSaysWhatWouldRun) {
  std::string rows = "user,ad,click\n";
  for (int i = 0; i < 1500; ++i)
    rows +=
        "u" + std::to_string(i % 7) + ",a" + std::to_string(i % 3) + (i % 4 == 0 ? ",1\n" : ",0\n");
  rows.insert(rows.find("u3"), "short,row\n");
  const scratch_file file(rows);
  const job made = good(file_job, {"source.uri=" + file.path.string()});
  const auto said = check_job(made, false);
  ASSERT_TRUE(said.ok()) << describe(said.error());
  EXPECT_THAT(*said, HasSubstr("first 1000 read: 999 good"));
  EXPECT_THAT(*said, HasSubstr("1 bad; first: "));
  EXPECT_THAT(*said, HasSubstr("features  2: user, ad"));
  EXPECT_THAT(*said, HasSubstr("model     fm, 3 layers"));
  const auto json = check_job(made, true);
  ASSERT_TRUE(json.ok());
  EXPECT_THAT(*json, HasSubstr("\"rows_read\":1000,\"rows_good\":999,\"rows_bad\":1"));
  EXPECT_THAT(*json, Not(HasSubstr("\n")));
}

TEST(Check, AWrongColumnAMissingFileAndAnEmptyOneAreToldApart) {
  const scratch_file file("user,item,click\n1,2,1\n");
  const auto wrong = check_job(good(file_job, {"source.uri=" + file.path.string()}), false);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, errc::bad_config);
  EXPECT_THAT(wrong.error().detail, HasSubstr("'ad'"));
  const auto missing = check_job(good(file_job, {"source.uri=/nonexistent/rows.csv"}), false);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, errc::not_found);
  const scratch_file empty("user,ad,click\n");
  const auto none = check_job(good(file_job, {"source.uri=" + empty.path.string()}), false);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, errc::bad_input);
}

TEST(Check, AGeneratedStreamNeedsNoFile) {
  const auto said = check_job(good(generated_job), false);
  ASSERT_TRUE(said.ok()) << describe(said.error());
  EXPECT_THAT(*said, HasSubstr("generate:planted, 1000000 rows"));
}

TEST(Check, ShippedJobsFitTheirData) {
  const char* folder = std::getenv("HEADRACE_DATA");
  if (folder == nullptr) GTEST_SKIP() << "HEADRACE_DATA is not set";
  const std::tuple<const char*, const char*, std::vector<std::string>> cases[] = {
      {"movielens.toml", "local-only/movielens-100k/ml-100k.inter", {"source.header=true"}},
      {"criteo.toml", "local-only/criteo-ctr-60k/criteo_60k.tsv.zst", {}},
      {"online_retail.toml", "open/online-retail/online_retail.csv.zst", {}},
      {"sequences.toml", "local-only/amazon-sequences/Beauty.txt.zst", {}},
  };
  for (const auto& [config, data, more] : cases) {
    const fs::path file = fs::path(folder) / data;
    if (!fs::exists(file)) GTEST_SKIP() << file << " is not there";
    auto overrides = more;
    overrides.push_back("source.uri=file://" + file.string());
    const auto made = load_job(source_root / "deploy/config" / config, overrides);
    ASSERT_TRUE(made.ok()) << describe(made.error());
    const auto said = check_job(*made, false);
    ASSERT_TRUE(said.ok()) << describe(said.error());
    EXPECT_THAT(*said, HasSubstr(", 0 bad")) << *said;
  }
}

}  // namespace
}  // namespace headrace::cli
