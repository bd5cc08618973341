// Which leases are asked for by their ids, and in which order.
#include "operator/cloud/lease_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace spillway::cloud {
namespace {

using testing::ElementsAre;

Lease Of(const std::string& id) {
  Lease lease;
  lease.server.name = id;
  return lease;
}
LeaseList Having(const std::string& id) {
  LeaseList list;
  list.leases.push_back(Of(id));
  return list;
}

TEST(LeaseBookTest, OfThoseThatAListDoesNotHaveTheLongestUnheardOfComesFirst) {
  LeaseBook book;
  for (const char* id : {"a", "b", "c"}) book.Put(Of(id));
  book.EndList(book.BeginList(), Having("a"), {});
  EXPECT_THAT(book.Missing(book.BeginList(), {}, 2), ElementsAre("b", "c"));
  EXPECT_THAT(book.Missing(book.BeginList(), {}, 3), ElementsAre("b", "c", "a"));
}

TEST(LeaseBookTest, OneThatIsNeverAnsweredDoesNotKeepTheOthersFromTheirTurn) {
  LeaseBook book;
  for (const char* id : {"a", "b"}) book.Expect(id);
  EXPECT_THAT(book.Missing(book.BeginList(), {}, 1), ElementsAre("a"));
  book.Asked("a");
  EXPECT_THAT(book.Missing(book.BeginList(), {}, 1), ElementsAre("b"));
  book.Asked("b");
  EXPECT_THAT(book.Missing(book.BeginList(), {}, 1), ElementsAre("a"));
}

}  // namespace
}  // namespace spillway::cloud
