// What a source says when the guard has no place for its window. It needs the guard, so it runs in
// guard.fault_in_grade_signal.
#include <dlfcn.h>
#include <gmock/gmock.h>

#include <vector>

#include "sluice/guard.h"
#include "world.hpp"

namespace sluice::fault {
namespace {

// Every place that the guard has left, as other libraries might take them.
class EveryWindow {
 public:
  explicit EveryWindow(decltype(sluice_guard_add_window)* add) {
    constexpr std::uintptr_t nowhere = std::uintptr_t{1} << 46;
    for (std::uintptr_t at = nowhere; add(at, page_size) == 0; at += page_size)
      begins_.push_back(at);
  }
  EveryWindow(const EveryWindow&) = delete;
  EveryWindow& operator=(const EveryWindow&) = delete;
  ~EveryWindow() {
    auto* const remove = reinterpret_cast<decltype(sluice_guard_remove_window)*>(
        ::dlsym(RTLD_DEFAULT, "sluice_guard_remove_window"));
    for (const std::uintptr_t begin : begins_) remove(begin);
  }

 private:
  std::vector<std::uintptr_t> begins_;
};

TEST(GuardWindow, that_is_refused_is_told_in_the_reason) {
  auto* const add = reinterpret_cast<decltype(sluice_guard_add_window)*>(
      ::dlsym(RTLD_DEFAULT, "sluice_guard_add_window"));
  if (add == nullptr) GTEST_SKIP() << "the guard is not loaded (sluice run --guard)";
  for (const Grade grade : {Grade::user, Grade::signal}) {
    World::Options options;
    options.source.best = grade;
    const auto refusal = testing::HasSubstr("the guard has no place for this space");
    EXPECT_THAT(World(options).source->reason(), testing::Not(refusal));
    const EveryWindow every(add);
    EXPECT_THAT(World(options).source->reason(), refusal);
  }
}

}  // namespace
}  // namespace sluice::fault
