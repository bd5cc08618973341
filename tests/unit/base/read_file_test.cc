#include "operator/base/read_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace spillway {
namespace {

class ReadFileTest : public testing::Test {
 protected:
  ~ReadFileTest() override { std::filesystem::remove(path_); }
  const std::string path_ =
      std::filesystem::temp_directory_path() / ("read-file" + std::to_string(getpid()));
};

TEST_F(ReadFileTest, GivesTheWholeText) {
  std::ofstream(path_) << "two\nlines\n";
  EXPECT_EQ(*ReadFile(path_), "two\nlines\n");
}

TEST_F(ReadFileTest, NamesAFileThatIsMissing) {
  EXPECT_EQ(ReadFile(path_).error().message, "cannot read " + path_);
}

TEST_F(ReadFileTest, AnEmptyFileCannotBeRead) {
  std::ofstream(path_).flush();
  EXPECT_FALSE(ReadFile(path_).ok());
}

}  // namespace
}  // namespace spillway
