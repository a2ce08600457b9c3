// Random sequences of MAP, UNMAP, FREE, signals and resets against a model of a few lines, which
// knows of each buffer only on which GPUs it is mapped. And random bytes as arguments: whatever
// they say, the machine answers, and the accounts stay right.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "kfd_rig.hpp"

namespace sluice::kfd {
namespace {

constexpr int model_gpus = 4;
constexpr int model_buffers = 3;

struct Operation {
  int kind = 0;  // 0 map, 1 unmap, 2 free and allocate again, 3 reset
  int buffer = 0;
  std::vector<int> on;  // GPUs; -1: none has the id
  std::uint32_t from = 0;
  int fails_on = -1;  // a planned failure
  bool is_slow = false;
  bool is_interrupted = false;
};

struct ModelBuffer {
  std::uint64_t handle = 0;
  std::set<int> mapped;
};

struct Expected {
  int error = 0;
  std::uint32_t n_success = 0;
};

// The contract: in order, up to the first failure.
Expected run_model(ModelBuffer& buffer, const Operation& operation) {
  const auto count = static_cast<std::uint32_t>(operation.on.size());
  if (count == 0 || operation.from > count) return {EINVAL, operation.from};
  for (std::uint32_t at = operation.from; at < count; ++at) {
    const int gpu = operation.on[at];
    if (gpu < 0) return {EINVAL, at};
    if (operation.kind == 0) {
      if (gpu == operation.fails_on) return {ENOMEM, at};
      buffer.mapped.insert(gpu);
    } else if (buffer.mapped.erase(gpu) == 0) {
      return {EINVAL, at};
    }
  }
  return {0, count};
}

class Run {
 public:
  Run() {
    rig_.world.once = false;
    for (ModelBuffer& each : model_) each.handle = rig_.buffer();
    exceptions_ = rig_.event(abi::event::hw_exception, true);
  }

  void step(const Operation& operation) {
    ModelBuffer& buffer = model_[static_cast<std::size_t>(operation.buffer)];
    if (operation.kind == 2) return free(buffer);
    if (operation.kind == 3) return reset(operation);
    rig_.world.plan.clear();
    if (operation.is_slow)
      for (int gpu = 0; gpu < model_gpus; ++gpu)
        rig_.world.plan[{gpu, Step::map}] = {.delay = std::chrono::milliseconds(5)};
    if (operation.fails_on >= 0) rig_.world.plan[{operation.fails_on, Step::map}] = {.fails = true};
    const Expected expected = run_model(buffer, operation);
    const auto call = operation.kind == 0 ? abi::Call::map_memory : abi::Call::unmap_memory;
    Answer answer = rig_.map(buffer.handle, operation.on, operation.from, call);
    RC_ASSERT(answer.error == expected.error);
    RC_ASSERT(rig_.mapping.n_success == expected.n_success);
    if (answer.wait && operation.is_interrupted) {
      RC_ASSERT(rig_.resume(answer, true, rig_.mapping).error == restart);
      const std::uint64_t dispatched = rig_.machine.dispatches();
      answer = rig_.call(call, rig_.mapping);  // as the kernel restarts it
      RC_ASSERT(answer.error == 0);
      RC_ASSERT(rig_.machine.dispatches() == dispatched);
    }
    if (answer.wait) {
      rig_.world.clock = answer.wait->until;
      const Answer last = rig_.resume(answer, false, rig_.mapping);
      RC_ASSERT(last.error == 0);
      RC_ASSERT(!last.wait);
    }
    compare();
  }

 private:
  void free(ModelBuffer& buffer) {
    const int error = rig_.free(buffer.handle);
    RC_ASSERT(error == (buffer.mapped.empty() ? 0 : EBUSY));
    if (error == 0) {
      RC_ASSERT(rig_.free(buffer.handle) == EINVAL);
      buffer.handle = rig_.buffer();
    }
    compare();
  }
  // A copy engine hangs while a buffer of its own is mapped.
  void reset(const Operation& operation) {
    const int gpu = operation.buffer;
    const std::uint64_t handle = rig_.buffer();
    rig_.world.plan.clear();
    rig_.world.plan[{gpu, Step::map}] = {.hangs = true};
    const Answer answer = rig_.map(handle, {gpu});
    RC_ASSERT(answer.wait.has_value());
    rig_.world.clock = answer.wait->until;
    RC_ASSERT(rig_.resume(answer, false, rig_.mapping).error == 0);
    RC_ASSERT(!rig_.wait({exceptions_}, true, 0).wait);
    RC_ASSERT(rig_.waiting.wait_result == abi::event::complete);
    RC_ASSERT(rig_.unmap(handle, {gpu}).error == 0);
    RC_ASSERT(rig_.free(handle) == 0);
    compare();
  }
  void compare() {
    for (const ModelBuffer& each : model_) {
      std::uint64_t bits = 0;
      for (const int gpu : each.mapped) bits |= std::uint64_t{1} << gpu;
      RC_ASSERT(rig_.mapped_on(each.handle) == bits);
    }
    RC_ASSERT(rig_.machine.limits().vram_used(0) == model_buffers * std::uint64_t{4096});
  }

  KfdRig rig_{{.gpus = model_gpus}};
  std::array<ModelBuffer, model_buffers> model_;
  std::uint32_t exceptions_ = 0;
};

Operation any_operation() {
  Operation made;
  made.kind = *rc::gen::weightedElement<int>({{8, 0}, {6, 1}, {4, 2}, {1, 3}});
  made.buffer = *rc::gen::inRange(0, model_buffers);
  made.on = *rc::gen::container<std::vector<int>>(
      rc::gen::weightedOneOf<int>({{12, rc::gen::inRange(0, model_gpus)}, {1, rc::gen::just(-1)}}));
  if (made.on.size() > 8) made.on.resize(8);
  made.from = *rc::gen::weightedOneOf<std::uint32_t>(
      {{4, rc::gen::just(std::uint32_t{0})}, {1, rc::gen::inRange<std::uint32_t>(0, 5)}});
  made.fails_on = *rc::gen::inRange(-4, model_gpus);
  made.is_slow = *rc::gen::arbitrary<bool>();
  made.is_interrupted = *rc::gen::arbitrary<bool>();
  return made;
}

RC_GTEST_PROP(KfdModel, maps_unmaps_frees_signals_and_resets_follow_the_model, ()) {
  Run run;
  const int steps = *rc::gen::inRange(1, 60);
  for (int step = 0; step < steps; ++step) run.step(any_operation());
}

// Numbers that are likely to hit something, and any others.
std::uint32_t any_word() {
  return *rc::gen::weightedOneOf<std::uint32_t>(
      {{4, rc::gen::inRange<std::uint32_t>(0, 10)},
       {3,
        rc::gen::element<std::uint32_t>(gpu_id_of(0), gpu_id_of(1), 4096, 8192, 0x10000, 0x11000)},
       {2, rc::gen::arbitrary<std::uint32_t>()},
       {1, rc::gen::just(0xffffffffU)}});
}

RC_GTEST_PROP(KfdModel, any_arguments_are_answered_and_the_accounts_stay_right, ()) {
  KfdRig rig({.gpus = 2, .vram = 64 * mib});
  const int calls = *rc::gen::inRange(1, 200);
  for (int made = 0; made < calls; ++made) {
    std::vector<std::uint32_t> words(*rc::gen::inRange<std::size_t>(0, 40));
    for (std::uint32_t& word : words) word = any_word();
    for (int at = 0; at < 64; ++at) {
      const std::uint32_t word = any_word();
      std::memcpy(rig.world.user.data() + at * 4, &word, sizeof word);
    }
    const auto number = static_cast<abi::Call>(*rc::gen::inRange(0, 0x26));
    const Answer answer = rig.machine.call(rig.process, KfdRig::request(number, words.size() * 4),
                                           std::as_writable_bytes(std::span(words)));
    if (answer.wait)
      (void)rig.machine.resume(rig.process, answer.wait->number, *rc::gen::arbitrary<bool>(),
                               std::as_writable_bytes(std::span(words)));
  }
  rig.machine.remove_process(rig.process);
  for (int gpu = 0; gpu < 2; ++gpu) RC_ASSERT(rig.machine.limits().vram_used(gpu) == 0U);
  RC_ASSERT(rig.machine.limits().system_used() == 0U);
  RC_ASSERT(rig.machine.limits().gtt_used() == 0U);
}

}  // namespace
}  // namespace sluice::kfd
