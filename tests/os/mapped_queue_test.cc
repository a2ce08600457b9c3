// The queue of the fault path against std::deque, and where Linux refuses memory.
#include "os/mapped_queue.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <deque>

#include "os/failing_calls.hpp"

namespace sluice::os {
namespace {

struct Entry {
  int number = 0;
  bool set = false;
};

RC_GTEST_PROP(MappedQueue, is_a_queue, ()) {
  MappedQueue<Entry> queue;
  std::deque<int> model;
  const int steps = *rc::gen::inRange(0, 4000);
  for (int i = 0; i < steps; ++i) {
    if (model.empty() || *rc::gen::weightedElement<bool>({{2, true}, {1, false}})) {
      RC_ASSERT(queue.push({i, false}));
      model.push_back(i);
    } else {
      queue.pop();
      model.pop_front();
    }
    RC_ASSERT(queue.size() == model.size());
    RC_ASSERT(queue.empty() == model.empty());
    if (!model.empty()) RC_ASSERT(queue[0].number == model.front());
    if (!model.empty()) RC_ASSERT(queue[model.size() - 1].number == model.back());
  }
  for (std::size_t i = 0; i < model.size(); ++i) RC_ASSERT(queue[i].number == model[i]);
}

TEST(MappedQueue, a_refused_page_changes_nothing) {
  MappedQueue<Entry> queue;
  FailingCalls calls;
  calls.fail(&Calls::mmap, 1, ENOMEM);
  EXPECT_FALSE(queue.push({1, true}));
  EXPECT_TRUE(queue.empty());
  int pushed = 0;
  while (queue.push({pushed, true})) {
    if (++pushed == 1) calls.fail(&Calls::mmap, 1, ENOMEM);
  }
  EXPECT_EQ(queue.size(), page_size / sizeof(Entry));
  for (int i = 0; i < pushed; ++i) EXPECT_EQ(queue[static_cast<std::size_t>(i)].number, i);
  EXPECT_TRUE(queue.push({pushed, true}));
  EXPECT_EQ(queue[static_cast<std::size_t>(pushed)].number, pushed);
}

}  // namespace
}  // namespace sluice::os
