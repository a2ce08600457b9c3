// A program of CUDA's driver interface whose streams do more than run kernels in order. It prints
// the same with and without `sluice run --cuda`, where a launch with nothing to bring makes no more
// calls of the driver's than without.
#include <atomic>

#include "program.hpp"

namespace {

using namespace program;

struct Calls {
  Result (*create_stream)(void**, unsigned) = named<Result(void**, unsigned)>("cuStreamCreate");
  Result (*destroy_stream)(void*) = named<Result(void*)>("cuStreamDestroy_v2");
  Result (*synchronize)(void*) = named<Result(void*)>("cuStreamSynchronize");
  Result (*make_event)(void**, unsigned) = named<Result(void**, unsigned)>("cuEventCreate");
  Result (*record)(void*, void*) = named<Result(void*, void*)>("cuEventRecord");
  Result (*wait_for_event)(void*) = named<Result(void*)>("cuEventSynchronize");
  Result (*wait_in_stream)(void*, void*,
                           unsigned) = named<Result(void*, void*, unsigned)>("cuStreamWaitEvent");
  Result (*wait_for_word)(void*, Pointer, std::uint32_t, unsigned) =
      named<Result(void*, Pointer, std::uint32_t, unsigned)>("cuStreamWaitValue32_v2");
  Result (*call)(void*, void (*)(void*),
                 void*) = named<Result(void*, void (*)(void*), void*)>("cuLaunchHostFunc");
  Result (*host_memory)(void**, std::size_t,
                        unsigned) = named<Result(void**, std::size_t, unsigned)>("cuMemHostAlloc");
};

void* per_thread_stream() { return reinterpret_cast<void*>(std::uintptr_t{2}); }

void fill(const Program& program, Pointer words, std::uint32_t value, std::size_t count,
          void* stream) {
  program.launch("fill", sluice_soft_fill{at<std::uint32_t>(words), value}, count, stream);
}

// The stand-in counts calls; a GPU's driver does not.
std::uint64_t calls_so_far() {
  using Count = std::uint64_t(const char*);
  static auto* const count = reinterpret_cast<Count*>(dlsym(library, "fake_cuda_calls"));
  return count != nullptr ? count(nullptr) : 0;
}

// What 100 launches of kernels need that touch memory which is on the GPU.
std::uint64_t calls_of_launches(const Program& program, Pointer words, void* stream) {
  void* const function = program.function("fill");
  sluice_soft_fill arguments{at<std::uint32_t>(words), 5};
  std::uint64_t items = 1000;
  void* given[] = {&arguments, &items};
  const auto launch = [&] {
    MUST(program.driver.launch(function, 1, 1, 1, 1, 1, 1, 0, stream, given, nullptr));
  };
  for (int i = 0; i < 3; ++i) launch();
  const std::uint64_t before = calls_so_far();
  for (int i = 0; i < 100; ++i) launch();
  return calls_so_far() - before;
}

void idle(const Program& program) {
  const Pointer words = program.managed(4096);
  at<std::uint32_t>(words)[0] = 1;
  std::printf("calls for 100 launches: %llu\n",
              static_cast<unsigned long long>(calls_of_launches(program, words, program.stream)));
  std::printf("in the default stream: %llu\n",
              static_cast<unsigned long long>(calls_of_launches(program, words, nullptr)));
  // A thread's own stream can be marked by that thread alone: an event for each launch.
  std::printf("in the thread's stream, at most two each: %d\n",
              calls_of_launches(program, words, per_thread_stream()) <= 200 ? 1 : 0);
  MUST(program.driver.synchronize());
  std::printf("filled: %u\n", at<std::uint32_t>(words)[999]);
  MUST(program.driver.free(words));
}

// Memory that comes between two launches, and host stores, are seen by the next.
void changes(const Program& program) {
  std::uint64_t sum = 0;
  const Pointer total = program.managed(8);
  for (std::uint32_t i = 1; i <= 5; ++i) {
    const Pointer words = program.managed(40000);
    for (std::size_t word = 0; word < 10000; ++word) at<std::uint32_t>(words)[word] = i;
    *at<std::uint64_t>(total) = 0;
    program.launch("reduce", sluice_soft_reduce{at<std::uint32_t>(words), at<std::uint64_t>(total)},
                   10000, program.stream);
    MUST(program.driver.synchronize());
    sum += *at<std::uint64_t>(total);
    MUST(program.driver.free(words));
  }
  std::printf("changes: %llu\n", static_cast<unsigned long long>(sum));
  MUST(program.driver.free(total));
}

// Host functions use managed memory between kernels that use it.
void functions(const Program& program, const Calls& calls) {
  const Pointer words = program.managed(4096);
  struct Seen {
    Pointer words;
    std::uint32_t value[3];
    int count;
  } seen{words, {}, 0};
  const auto look = [](void* data) {
    auto* const to = static_cast<Seen*>(data);
    to->value[to->count++] = at<std::uint32_t>(to->words)[7];
    at<std::uint32_t>(to->words)[8] += 1;
  };
  for (std::uint32_t i = 0; i < 3; ++i) {
    fill(program, words, 10 + i, 8, program.stream);
    MUST(calls.call(program.stream, look, &seen));
  }
  fill(program, words, 20, 8, program.stream);
  MUST(program.driver.synchronize());
  std::printf("functions: %u %u %u, then %u, called %u times\n", seen.value[0], seen.value[1],
              seen.value[2], at<std::uint32_t>(words)[7], at<std::uint32_t>(words)[8]);
  MUST(program.driver.free(words));
}

// The host reads what a kernel wrote while the stream waits for the host, behind that kernel.
void waits(const Program& program, const Calls& calls) {
  const Pointer words = program.managed(4096);
  void* memory = nullptr;
  MUST(calls.host_memory(&memory, 4096, 3));
  auto* const word = static_cast<std::atomic<std::uint32_t>*>(memory);
  *word = 0;
  void* event = nullptr;
  MUST(calls.make_event(&event, 2));
  fill(program, words, 31, 1000, program.stream);
  MUST(calls.record(event, program.stream));
  MUST(calls.wait_for_word(program.stream, reinterpret_cast<Pointer>(memory), 1, 0));
  MUST(calls.wait_for_event(event));
  std::printf("before the wait: %u\n", at<std::uint32_t>(words)[999]);
  *word = 1;
  MUST(program.driver.synchronize());
  void* other = nullptr;
  MUST(calls.create_stream(&other, 1));
  fill(program, words, 32, 1000, program.stream);
  MUST(calls.record(event, program.stream));
  MUST(calls.wait_in_stream(other, event, 0));
  fill(program, words, 33, 500, other);
  MUST(calls.synchronize(other));
  std::printf("behind an event: %u %u\n", at<std::uint32_t>(words)[0],
              at<std::uint32_t>(words)[999]);
  MUST(calls.destroy_stream(other));
  MUST(program.driver.free(words));
}

// The host and kernels of another stream go on beside a kernel that does not end.
void beside(const Program& program, const Calls& calls) {
  constexpr std::size_t size = 5 << 20;
  const Pointer words = program.managed(size);
  const Pointer total = program.managed(8);
  void* memory = nullptr;
  MUST(calls.host_memory(&memory, 4096, 3));
  auto* const word = static_cast<std::atomic<std::uint32_t>*>(memory);
  *word = 0;
  void* other = nullptr;
  MUST(calls.create_stream(&other, 1));
  fill(program, words, 1, size / 4, program.stream);
  program.launch("spin", sluice_soft_spin{static_cast<std::uint32_t*>(memory), 1}, 1,
                 program.stream);
  std::uint64_t sum = 0;
  for (std::uint32_t round = 1; round <= 20; ++round) {
    at<std::uint32_t>(words)[1000 * round] = round;
    *at<std::uint64_t>(total) = 0;
    program.launch("reduce", sluice_soft_reduce{at<std::uint32_t>(words), at<std::uint64_t>(total)},
                   1000 * round + 1, other);
    MUST(calls.synchronize(other));
    sum += *at<std::uint64_t>(total);
  }
  const Pointer younger = program.managed(size);
  std::memset(at<void>(younger), 7, size);
  std::memset(at<void>(words + size / 2), 7, size / 2);
  *word = 1;
  MUST(program.driver.synchronize());
  std::printf("beside: %llu %llu %llu\n", static_cast<unsigned long long>(sum),
              static_cast<unsigned long long>(sum_of(at<std::uint32_t>(words), size / 4)),
              static_cast<unsigned long long>(sum_of(at<std::uint32_t>(younger), size / 4)));
  MUST(calls.destroy_stream(other));
  for (const Pointer each : {words, total, younger}) MUST(program.driver.free(each));
}

// A kernel and the host hand flags to and fro.
void hand_over(const Program& program) {
  const Pointer flags = program.managed(8192);
  auto* const here = at<volatile std::uint32_t>(flags);
  auto* const there = at<volatile std::uint32_t>(flags + 4096);
  for (std::uint32_t turn = 1; turn <= 5; ++turn) {
    *here = 0;
    program.launch(
        "meet",
        sluice_soft_meet{const_cast<std::uint32_t*>(here), const_cast<std::uint32_t*>(there), turn},
        1, program.stream);
    while (*here == 0) std::this_thread::yield();
    *there = turn;
    MUST(program.driver.synchronize());
  }
  std::printf("handed over: %u %u\n", *here, *there);
  MUST(program.driver.free(flags));
}

// More streams than a GPU has sections, which end beside their work.
void many(const Program& program, const Calls& calls) {
  constexpr std::size_t count = 300;
  const Pointer words = program.managed(count * 4096);
  std::vector<void*> streams(count);
  for (std::size_t i = 0; i < count; ++i) {
    MUST(calls.create_stream(&streams[i], 1));
    fill(program, words + i * 4096, static_cast<std::uint32_t>(i), 1024, streams[i]);
  }
  for (void* stream : streams) MUST(calls.destroy_stream(stream));
  MUST(program.driver.synchronize());
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += at<std::uint32_t>(words + i * 4096)[1023];
  std::printf("many streams: %llu\n", static_cast<unsigned long long>(sum));
  MUST(program.driver.free(words));
}

void* current_context() {
  void* context = nullptr;
  MUST(named<Result(void**)>("cuCtxGetCurrent")(&context));
  return context;
}

// Threads that end, and others that have their own stream after them.
void own_streams(const Program& program) {
  const Pointer words = program.managed(4096);
  void* const context = current_context();
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < 4; ++i) {
    std::thread([&] {
      MUST(program.driver.set_context(context));
      fill(program, words, 100 + i, 1000, per_thread_stream());
      fill(program, words, 200 + i, 500, per_thread_stream());
    }).join();
    MUST(program.driver.synchronize());
    sum += at<std::uint32_t>(words)[0] + at<std::uint32_t>(words)[999];
  }
  std::printf("threads' streams: %llu\n", static_cast<unsigned long long>(sum));
  MUST(program.driver.free(words));
}

// A context besides the GPU's own, with a stream and a default stream.
void other_context(const Program& program, const Calls& calls) {
  void* const first = current_context();
  const Pointer words = program.managed(8 << 20);
  void* context = nullptr;
  MUST(named<Result(void**, unsigned, int)>("cuCtxCreate_v2")(&context, 0, 0));
  void* stream = nullptr;
  MUST(calls.create_stream(&stream, 1));
  void* const function = program.function("fill");
  std::uint64_t items = 2 << 20;
  for (std::uint32_t i = 0; i < 4; ++i) {
    sluice_soft_fill arguments{at<std::uint32_t>(words), 50 + i};
    void* given[] = {&arguments, &items};
    void* const in = i % 2 == 0 ? stream : nullptr;
    MUST(program.driver.launch(function, 1, 1, 1, 1, 1, 1, 0, in, given, nullptr));
    MUST(program.driver.synchronize());
    std::printf("other context: %u\n", at<std::uint32_t>(words)[items - 1]);
    MUST(program.driver.copy(words + 4, words, 4));
    at<std::uint32_t>(words)[2] = i;
    MUST(program.driver.set_context(i % 2 == 0 ? context : first));
    fill(program, words + 4096, 70 + i, 10, nullptr);
    MUST(program.driver.synchronize());
    std::printf("and both: %u %u\n", at<std::uint32_t>(words)[2], at<std::uint32_t>(words)[1024]);
    MUST(program.driver.set_context(context));
  }
  MUST(named<Result(void*)>("cuCtxDestroy_v2")(context));
  MUST(program.driver.set_context(first));
  fill(program, words, 60, 10, nullptr);
  MUST(program.driver.synchronize());
  std::printf("after it: %u\n", at<std::uint32_t>(words)[9]);
  MUST(program.driver.free(words));
}

}  // namespace

int main() {
  open_driver("libcuda.so.1");
  const Program program;
  const Calls calls;
  idle(program);
  changes(program);
  functions(program, calls);
  waits(program, calls);
  beside(program, calls);
  hand_over(program);
  many(program, calls);
  own_streams(program);
  other_context(program, calls);
  return 0;
}
