// Random operations against a model that fits a table: which rights each device has to each block.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>

#include "mapping_rig.hpp"

namespace sluice::mapping_test {
namespace {

constexpr std::size_t blocks = 3;
constexpr int devices = 3;

enum class Right : std::uint8_t { none, read, write };
using Model = std::array<std::array<Right, blocks>, devices>;

struct Step {
  bool unmaps;
  bool reads;
  bool all_or_nothing;
  bool resumes;
  std::size_t first, count;
  std::vector<int> named;  // in some order, each once
  unsigned refusing;       // bit n: device n refuses new mappings
  std::size_t touch_block;
  int touch_device;
};

rc::Gen<Step> any_step() {
  return rc::gen::exec([] {
    Step step{};
    step.unmaps = *rc::gen::weightedElement<bool>({{2, true}, {5, false}});
    step.reads = *rc::gen::arbitrary<bool>();
    step.all_or_nothing = *rc::gen::arbitrary<bool>();
    step.resumes = *rc::gen::arbitrary<bool>();
    step.first = *rc::gen::inRange<std::size_t>(0, blocks);
    step.count = *rc::gen::inRange<std::size_t>(1, blocks - step.first + 1);
    // A set of devices, at least one, beginning anywhere.
    const unsigned named = *rc::gen::inRange(1U, 1U << devices);
    const int begin = *rc::gen::inRange(0, devices);
    for (int i = 0; i < devices; ++i)
      if (const int device = (begin + i) % devices; (named >> device & 1) != 0)
        step.named.push_back(device);
    step.refusing = *rc::gen::inRange(0U, 1U << devices);
    step.touch_block = *rc::gen::inRange<std::size_t>(0, blocks);
    step.touch_device = *rc::gen::inRange(0, devices);
    return step;
  });
}

// What the step must report, and what holds afterwards.
std::vector<MappingState> predict(Model& model, const Step& step) {
  const Right wanted = step.unmaps ? Right::none : step.reads ? Right::read : Right::write;
  Model after = model;
  std::vector<MappingState> expected;
  bool any_fails = false;
  for (const int device : step.named) {
    auto& rights = after[static_cast<std::size_t>(device)];
    bool needs_new = false;
    for (std::size_t block = step.first; block < step.first + step.count; ++block)
      needs_new = needs_new || (wanted != Right::none && rights[block] == Right::none);
    const bool fails = needs_new && (step.refusing >> device & 1) != 0;
    any_fails = any_fails || fails;
    expected.push_back(fails ? failed : step.unmaps ? unmapped : mapped);
    for (std::size_t block = step.first; !fails && block < step.first + step.count; ++block)
      rights[block] = wanted;
  }
  if (step.all_or_nothing && any_fails) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto device = static_cast<std::size_t>(step.named[i]);
      if (expected[i] == mapped && after[device] != model[device]) expected[i] = undone;
    }
    return expected;
  }
  model = after;
  return expected;
}

class MappingModel : public MappingTest {
 public:
  void TestBody() override {}

  void run(const std::vector<Step>& steps) {
    open(small_devices(devices));
    const auto data = words(blocks * block);
    Model model{};
    for (const Step& step : steps) {
      const Word* part = &data[step.first * block / sizeof(Word)];
      const std::vector<MappingPart> parts{{part, step.count * block}};
      MappingOptions options;
      options.access = step.reads ? Access::read : Access::write;
      options.mode = step.all_or_nothing ? MappingMode::all_or_nothing : MappingMode::partial;
      for (int device = 0; device < devices; ++device)
        plan(device, (step.refusing >> device & 1) != 0 ? "step=map action=fail" : "");
      const auto operation = step.unmaps ? space->start_unmap(parts, step.named, options)
                                         : space->start_map(parts, step.named, options);
      RC_ASSERT(operation.has_value());
      const bool good = operation->wait().has_value();
      const auto expected = predict(model, step);
      RC_ASSERT(states(operation->report()) == expected);
      RC_ASSERT(good == std::all_of(expected.begin(), expected.end(), [](MappingState state) {
                  return state == mapped || state == unmapped;
                }));
      if (step.resumes && !good) {
        for (int device = 0; device < devices; ++device) plan(device, "");
        RC_ASSERT(operation->resume().has_value());
        RC_ASSERT(operation->wait().has_value());
        Step again = step;
        again.refusing = 0;
        RC_ASSERT(states(operation->report()) == predict(model, again));
      }
      touch(data, model, step.touch_device, step.touch_block);
    }
    RC_ASSERT(!space->check());
  }

 private:
  static constexpr std::size_t block = 2 * mib;

  void touch(const Buffer<Word>& data, const Model& model, int device, std::size_t at) {
    Word* word = &data[at * block / sizeof(Word)];
    const Right right = model[static_cast<std::size_t>(device)][at];
    RC_ASSERT(load(device, word).has_value() == (right != Right::none));
    const Word value = *word + 1;
    const bool stored = store(device, word, value);
    RC_ASSERT(stored == (right == Right::write));
    RC_ASSERT(*word == (stored ? value : value - 1));
  }
};

// A step shrinks badly and a case costs an opened space, so the cases are few and short; the stress
// run has the many.
RC_GTEST_PROP(Model, reports_and_rights_follow_the_table, ()) {
  MappingModel().run(*rc::gen::resize(12, rc::gen::container<std::vector<Step>>(any_step())));
}

}  // namespace
}  // namespace sluice::mapping_test
