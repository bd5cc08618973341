#include "operator/api/server_pool.h"

#include <gtest/gtest.h>

namespace spillway::api {
namespace {

// A schema that was relaxed lets any number pass.
TEST(ServerPoolTest, CountsOfServersStayWithinWhatTheSchemaAllows) {
  const Json spec{{"minServers", -5}, {"warmSpares", 1}, {"maxServers", int64_t{1} << 50}};
  const auto pool = DecodeServerPool({{"spec", spec}});
  ASSERT_TRUE(pool);
  EXPECT_EQ(pool->spec.min_servers, 0);
  EXPECT_EQ(pool->spec.warm_spares, 1);
  EXPECT_EQ(pool->spec.max_servers, 10'000);
  EXPECT_EQ(DecodeServerPool({{"spec", Json::object()}})->spec.max_servers, 10);
}

}  // namespace
}  // namespace spillway::api
