#include "storage/object_store.hpp"

#include "base/sha256.hpp"
#include "storage/local_object_store.hpp"
#include "storage/s3_signature.hpp"
#include "storage/s3_xml.hpp"
#include "storage/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <fstream>
#include <sys/file.h>

namespace headrace::storage {
namespace {

namespace fs = std::filesystem;

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::unique_ptr<local_object_store> open_local(const fs::path& folder) {
  auto opened = local_object_store::open(folder);
  EXPECT_TRUE(opened.ok()) << describe(opened.error());
  return std::move(*opened);
}

TEST(LocalObjectStore, GivesBackWhatWasPutAndListsByPrefix) {
  temporary_folder folder;
  auto store = open_local(folder.path() / "a" / "b");
  const std::string binary("\0\n# sha256 \xff", 12);
  ASSERT_TRUE(store->put("objects/one", binary).ok());
  ASSERT_TRUE(store->put("objects/two", std::string_view()).ok());
  ASSERT_TRUE(store->put("objects/deep/three", std::string_view("3")).ok());
  ASSERT_TRUE(store->put("objects/two", std::string_view("replaced")).ok());
  EXPECT_EQ(text_of(*store->get("objects/one")), binary);
  EXPECT_EQ(text_of(*store->get("objects/two")), "replaced");
  EXPECT_EQ(*store->list("objects/"),
            (std::vector<object_entry>{
                {"objects/deep/three", 1}, {"objects/one", 12}, {"objects/two", 8}}));
  EXPECT_EQ(*store->list("objects/t"), (std::vector<object_entry>{{"objects/two", 8}}));
  EXPECT_TRUE(store->list("nothing/")->empty());
  EXPECT_TRUE(*store->exists("objects/one"));
  EXPECT_TRUE(store->remove("objects/one").ok());
  EXPECT_TRUE(store->remove("objects/one").ok()) << "removing what is absent is done already";
  EXPECT_FALSE(*store->exists("objects/one"));
  EXPECT_EQ(store->get("objects/one").error().code, errc::not_found);
  EXPECT_EQ(store->uri(), "file://" + (folder.path() / "a" / "b").string());
}

TEST(LocalObjectStore, CopiesFilesBothWaysAndRefusesAFileOfAnotherHash) {
  temporary_folder folder;
  auto store = open_local(folder.path() / "store");
  const std::string contents(3'000'001, 'x');
  write_file(folder.path() / "from", contents);
  ASSERT_TRUE(store->put_file("big", folder.path() / "from", sha256_hex(contents)).ok());
  EXPECT_EQ(*store->get_to("big", folder.path() / "to"), sha256_hex(contents));
  EXPECT_EQ(*read_text(folder.path() / "to"), contents);

  const auto wrong = store->put_file("other", folder.path() / "from", sha256_hex("x"));
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, errc::corrupt);
  EXPECT_FALSE(*store->exists("other"));
  EXPECT_EQ(store->put_file("other", folder.path() / "absent", "").error().code, errc::not_found);
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path() / "store"), {}), 1)
      << "a failed put leaves nothing";
}

TEST(LocalObjectStore, AFlippedBitAnywhereOrAMissingByteIsCorrupt) {
  temporary_folder folder;
  auto store = open_local(folder.path());
  ASSERT_TRUE(store->put("name", std::string_view("some contents")).ok());
  const std::string good = *read_text(folder.path() / "name");
  ASSERT_EQ(good.size(), 13 + local_object_store::trailer_bytes);
  const fs::path target = folder.path() / "target";
  write_file(target, "untouched");
  const auto refused = [&](const std::string& bytes) {
    write_file(folder.path() / "name", bytes);
    const auto got = store->get("name");
    const auto copied = store->get_to("name", target);
    return !got && got.error().code == errc::corrupt && !copied &&
           copied.error().code == errc::corrupt &&
           got.error().detail.find("'name'") != std::string::npos;
  };
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_TRUE(refused(bad)) << "bit " << bit;
  }
  for (std::size_t size = 0; size < good.size(); ++size)
    ASSERT_TRUE(refused(good.substr(0, size))) << size << " bytes";
  EXPECT_TRUE(refused(good + "x"));
  EXPECT_EQ(*read_text(target), "untouched");
  EXPECT_FALSE(fs::exists(target.string() + std::string(partial_suffix)));
}

TEST(LocalObjectStore, OpeningSweepsWhatADeadWriterLeftAndNotWhatALiveOneWrites) {
  temporary_folder folder;
  (void)open_local(folder.path());
  write_file(folder.path() / ".partial-1-dead", "half");
  write_file(folder.path() / ".partial-2-alive", "half");
  const auto writer = open_file(folder.path() / ".partial-2-alive", O_WRONLY);
  ASSERT_EQ(::flock(writer->get(), LOCK_EX), 0);
  auto store = open_local(folder.path());
  EXPECT_FALSE(fs::exists(folder.path() / ".partial-1-dead"));
  EXPECT_TRUE(fs::exists(folder.path() / ".partial-2-alive"));
  EXPECT_TRUE(store->list("")->empty());
}

TEST(ObjectStore, NamesThatLeaveTheStoreOrHideInItAreRefused) {
  temporary_folder folder;
  auto store = open_local(folder.path() / "store");
  for (const char* name :
       {"", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", ".a", "a/.b", "a b", "a\nb", "ä"}) {
    EXPECT_EQ(store->put(name, std::string_view("x")).error().code, errc::malformed) << name;
    EXPECT_EQ(store->get(name).error().code, errc::malformed) << name;
    EXPECT_EQ(store->remove(name).error().code, errc::malformed) << name;
  }
  EXPECT_FALSE(check_object_name(std::string(513, 'a')));
  EXPECT_TRUE(check_object_name("checkpoints/20240131T120000.123Z-a%20b#1.toml"));
}

TEST(ObjectStore, OpensFoldersByPathOrUriAndNothingElse) {
  temporary_folder folder;
  const std::string path = (folder.path() / "made").string();
  EXPECT_EQ((*open_object_store("file://" + path))->uri(), "file://" + path);
  EXPECT_EQ((*open_object_store(path + "/"))->uri(), "file://" + path);
  for (const char* uri : {"", "file://host/folder", "ftp://host/x", "s3:/x", "http://host/x"}) {
    if (std::string(uri) == "s3:/x") continue;  // a folder named "s3:" is possible, if odd
    EXPECT_EQ(open_object_store(uri).error().code, errc::bad_config) << uri;
  }
}

// The examples of "Authenticating Requests: Using the Authorization Header", Amazon S3 API
// reference: their keys, their time, their signatures.
struct published {
  const char* method;
  const char* path;
  s3_fields query;
  s3_fields headers;
  const char* payload;
  const char* signature;
};

TEST(S3Signature, MatchesThePublishedExamples) {
  const s3_credentials who{
      "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "", "us-east-1"};
  const std::vector<published> examples{
      {"GET",
       "/test.txt",
       {},
       {{"range", "bytes=0-9"}},
       "",
       "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"},
      {"PUT",
       "/test%24file.text",
       {},
       {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
       "Welcome to Amazon S3.",
       "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"},
      {"GET",
       "/",
       {{"lifecycle", ""}},
       {},
       "",
       "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"},
      {"GET",
       "/",
       {{"max-keys", "2"}, {"prefix", "J"}},
       {},
       "",
       "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"},
  };
  for (const auto& example : examples) {
    s3_request request{
        example.method, example.path, example.query, example.headers, sha256_hex(example.payload)};
    request.headers.emplace_back("host", "examplebucket.s3.amazonaws.com");
    const std::string authorization = sign(request, who, 1'369'353'600'000);  // 2013-05-24
    EXPECT_TRUE(authorization.ends_with(std::string(",Signature=") + example.signature))
        << example.method << ' ' << example.path << ": " << authorization;
    EXPECT_EQ(authorization.find(who.secret_access_key), std::string::npos);
  }
}

TEST(S3Signature, EncodesNamesAsS3Does) {
  EXPECT_EQ(uri_encoded("a b/c+~é%", true), "a%20b/c%2B~%C3%A9%25");
  EXPECT_EQ(uri_encoded("a/b", false), "a%2Fb");
  EXPECT_EQ(query_string({{"prefix", "a/b c"}, {"list-type", "2"}}),
            "list-type=2&prefix=a%2Fb%20c");
  EXPECT_EQ(amz_date(1'369'353'600'999), "20130524T000000Z");
}

TEST(S3Xml, ReadsElementsAndEntitiesAndGivesNothingForOtherText) {
  const std::string xml = "<A><K>x&amp;y&#38;z&#x2F;&lt;&bad;&</K><K>2</K><L></L></A>";
  EXPECT_EQ(xml_text(xml, "K"), "x&y&z/<&bad;&");
  EXPECT_EQ(xml_elements(xml, "K").size(), 2U);
  EXPECT_EQ(xml_text(xml, "L"), "");
  EXPECT_TRUE(xml_elements("<K>never closed", "K").empty());
  EXPECT_TRUE(xml_elements("", "K").empty());
}

}  // namespace
}  // namespace headrace::storage
