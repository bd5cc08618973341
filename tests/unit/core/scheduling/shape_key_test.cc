#include "operator/core/scheduling/shape_key.h"

#include <gtest/gtest.h>

namespace spillway::core {
namespace {

using api::Json;

std::string KeyOfJson(const Json& value) { return KeyText().AddJson(value).Take(); }

TEST(KeyTextTest, TellsListsApartWhoseTextsJoinToTheSame) {
  const auto key = [](const std::vector<std::string>& values) {
    return KeyText().Add(values).Take();
  };
  EXPECT_NE(key({"a", "b"}), key({"ab"}));
  EXPECT_NE(key({"1;a"}), key({"1", "a"}));
  EXPECT_NE(key({}), key({""}));
}

TEST(KeyTextTest, TellsJsonOfAnotherTypeApart) {
  const std::vector<Json> values = {Json{{"a", 1}},   Json{{"a", "1"}}, Json{{"a", true}},
                                    Json{{"a", 1.5}}, Json{{"b", 1}},   Json::array({"a", 1}),
                                    Json("a"),        Json(1)};
  for (size_t i = 0; i < values.size(); ++i) {
    for (size_t j = 0; j < i; ++j)
      EXPECT_NE(KeyOfJson(values[i]), KeyOfJson(values[j])) << values[i] << values[j];
  }
}

TEST(KeyTextTest, TakesWhatIsMissingForWhatIsEmpty) {
  EXPECT_EQ(KeyOfJson(Json()), KeyOfJson(Json::object()));
  EXPECT_EQ(KeyOfJson(Json()), KeyOfJson(Json::array()));
}

TEST(KeyTextTest, IsTheSameForResourcesInAnyOrder) {
  api::Resources one, other;
  one.extended["a"] = 1, one.extended["b"] = 2;
  other.extended["b"] = 2, other.extended["a"] = 1;
  EXPECT_EQ(KeyText().Add(one).Take(), KeyText().Add(other).Take());
  other.extended["b"] = 3;
  EXPECT_NE(KeyText().Add(one).Take(), KeyText().Add(other).Take());
}

}  // namespace
}  // namespace spillway::core
