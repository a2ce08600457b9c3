// A program of CUDA's driver interface with managed memory, which knows nothing of Sluice: it opens
// libcuda.so.1, asks it for entries by both ways, and prints what it finds. cuda_face/programs_test.py
// runs it with and without `sluice run --cuda`.
//
//   managed work          kernels, copies and fills in turn with host accesses
//   managed table         what the driver answers, one row a line
#include "program.hpp"

namespace {

using namespace program;

// Kernels follow pointers that no launch names, and the host reads without a synchronization call.
void list(const Program& program) {
  constexpr std::size_t nodes = 500;
  const Pointer memory = program.managed(nodes * 8192);
  const Pointer count = program.managed(8);
  auto node = [&](std::size_t i) { return at<sluice_soft_node>(memory + i * 8192); };
  for (std::size_t i = 0; i < nodes; ++i) *node(i) = {i + 1 < nodes ? node(i + 1) : nullptr, i};
  std::uint64_t sum = 0;
  for (int round = 0; round < 3; ++round) {
    program.launch("list_walk", sluice_soft_list_walk{node(0), 5, at<std::uint64_t>(count)}, 1,
                   program.stream);
    MUST(program.driver.synchronize());
    for (std::size_t i = 0; i < nodes; ++i) sum += node(i)->value;
    node(7)->value += 100;
  }
  std::printf("list: %llu nodes, sum %llu\n",
              static_cast<unsigned long long>(*at<std::uint64_t>(count)),
              static_cast<unsigned long long>(sum));
  MUST(program.driver.free(memory));
  MUST(program.driver.free(count));
}

void turns(const Program& program) {
  constexpr std::size_t count = 3 << 20;
  const Pointer words = program.managed(count * 4);
  const Pointer sum = program.managed(8);
  for (std::uint32_t round = 1; round <= 4; ++round) {
    program.launch("fill", sluice_soft_fill{at<std::uint32_t>(words), round}, count,
                   round % 2 == 0 ? program.stream : nullptr);
    MUST(program.driver.synchronize());
    at<std::uint32_t>(words)[round * 1000] += 7;
    *at<std::uint64_t>(sum) = 0;
    program.launch("reduce", sluice_soft_reduce{at<std::uint32_t>(words), at<std::uint64_t>(sum)},
                   count, program.stream);
    MUST(program.driver.synchronize());
    std::printf("turn %u: kernel %llu, host %llu\n", round,
                static_cast<unsigned long long>(*at<std::uint64_t>(sum)),
                static_cast<unsigned long long>(sum_of(at<std::uint32_t>(words), count)));
  }
  MUST(program.driver.free(words));
  MUST(program.driver.free(sum));
}

void copies(const Program& program) {
  constexpr std::size_t size = 5 << 20;
  const Pointer managed = program.managed(size);
  const Pointer other = program.managed(size);
  Pointer device = 0;
  MUST(program.driver.allocate_on_device(&device, size));
  std::vector<unsigned char> plain(size);
  for (std::size_t i = 0; i < size; ++i) plain[i] = static_cast<unsigned char>(i * 13);
  const auto plain_address = reinterpret_cast<Pointer>(plain.data());
  MUST(program.driver.copy(managed, plain_address, size));
  MUST(program.driver.copy(device, managed, size));
  MUST(program.driver.fill(managed + 100, 9, 5000, program.stream));
  MUST(program.driver.synchronize());
  at<unsigned char>(managed)[101] = 10;
  MUST(program.driver.copy(other, managed, size));
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum += (i + 1) * at<unsigned char>(other)[i];
  MUST(program.driver.copy(plain_address, device, size));
  for (std::size_t i = 0; i < size; ++i) sum += (i + 3) * plain[i];
  std::printf("copies: %llu\n", static_cast<unsigned long long>(sum));
  MUST(program.driver.free(managed));
  MUST(program.driver.free(other));
  MUST(program.driver.free(device));
}

// The parameters of a launch are in managed memory that a kernel wrote.
void parameters(const Program& program) {
  struct Block {
    sluice_soft_fill arguments;
    std::uint64_t items;
  };
  const Pointer words = program.managed(4096 * 4);
  const Pointer block = program.managed(sizeof(Block));
  *at<Block>(block) = {{at<std::uint32_t>(words), 77}, 4096};
  program.launch("nothing", char{}, 1, program.stream);
  void* function = nullptr;
  MUST(program.driver.function(&function, program.module(), "fill"));
  void* given[] = {&at<Block>(block)->arguments, &at<Block>(block)->items};
  MUST(program.driver.launch(function, 1, 1, 1, 1, 1, 1, 0, program.stream, given, nullptr));
  MUST(program.driver.synchronize());
  std::printf("parameters: %llu\n",
              static_cast<unsigned long long>(sum_of(at<std::uint32_t>(words), 4096)));
}

// Each way to launch a kernel, of which the host then reads a word that nothing named.
void launches(const Program& program) {
  const Pointer words = program.managed(4096 * 4);
  void* function = nullptr;
  MUST(program.driver.function(&function, program.module(), "fill"));
  struct Block {
    sluice_soft_fill arguments;
    std::uint64_t items;
  } block{{at<std::uint32_t>(words), 0}, 4096};
  void* given[] = {&block.arguments, &block.items};
  const auto is_filled = [&](const char* way) {
    MUST(program.driver.synchronize());
    std::printf("%s: %u\n", way, at<std::uint32_t>(words)[4095]);
    at<std::uint32_t>(words)[4095] = 0;
    ++block.arguments.value;
  };
  is_filled("before");

  using Launch = Result(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                        void*, void**, void**);
  std::size_t size = sizeof block;
  auto key = [](std::uintptr_t value) { return reinterpret_cast<void*>(value); };
  void* extra[] = {key(1), &block, key(2), &size, nullptr};
  MUST(program.driver.launch(function, 1, 1, 1, 1, 1, 1, 0, program.stream, nullptr, extra));
  is_filled("extra");
  MUST(
      named<Launch>("cuLaunchKernel_ptsz")(function, 1, 1, 1, 1, 1, 1, 0, nullptr, given, nullptr));
  is_filled("in the thread's stream");
  using Together = Result(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned,
                          unsigned, void*, void**);
  MUST(named<Together>("cuLaunchCooperativeKernel")(function, 1, 1, 1, 1, 1, 1, 0, program.stream,
                                                    given));
  is_filled("cooperative");
  struct {
    unsigned grid[3];
    unsigned block[3];
    unsigned shared;
    void* stream;
    void* attributes;
    unsigned attribute_count;
  } configuration{{1, 1, 1}, {1, 1, 1}, 0, program.stream, nullptr, 0};
  MUST(named<Result(const void*, void*, void**, void**)>("cuLaunchKernelEx")(
      &configuration, function, given, nullptr));
  is_filled("configured");
  MUST(program.driver.free(words));
}

void threads(const Program& program) {
  void* context = nullptr;
  MUST(named<Result(void**)>("cuCtxGetCurrent")(&context));
  std::vector<std::thread> running;
  std::vector<std::uint64_t> sums(4);
  for (std::size_t thread = 0; thread < sums.size(); ++thread)
    running.emplace_back([&, thread] {
      MUST(program.driver.set_context(context));
      void* stream = nullptr;
      MUST(program.driver.make_stream(&stream, 1));
      for (std::uint32_t round = 1; round <= 10; ++round) {
        const Pointer words = program.managed(300000);
        at<std::uint32_t>(words)[0] = round;
        program.launch("fill", sluice_soft_fill{at<std::uint32_t>(words) + 1, round}, 70000,
                       stream);
        MUST(named<Result(void*)>("cuStreamSynchronize")(stream));
        sums[thread] += sum_of(at<std::uint32_t>(words), 75000);
        MUST(program.driver.free(words));
      }
    });
  for (std::thread& each : running) each.join();
  for (const std::uint64_t sum : sums)
    std::printf("thread: %llu\n", static_cast<unsigned long long>(sum));
}

// --- the table -----------------------------------------------------------------------------------

void row(const char* what, long long answer) { std::printf("%s: %lld\n", what, answer); }

void allocations(const Program& program) {
  const Driver& driver = program.driver;
  Pointer made = 0;
  row("allocate size 0", driver.allocate(&made, 0, 1));
  row("allocate flags 0", driver.allocate(&made, 4096, 0));
  row("allocate flags 3", driver.allocate(&made, 4096, 3));
  row("allocate 2^60", driver.allocate(&made, std::size_t{1} << 60, 1));
  row("allocate for the host", driver.allocate(&made, 10000, 2));
  row("fresh bytes", at<unsigned char>(made)[9999]);
  Pointer base = 0;
  std::size_t size = 0;
  row("address range", asked_for<Result(Pointer*, std::size_t*, Pointer)>("cuMemGetAddressRange")(
                           &base, &size, made + 5000));
  row("its base", static_cast<long long>(base - made));
  row("its size", static_cast<long long>(size));
  row("free inside", driver.free(made + 4096));
  row("free", driver.free(made));
  row("free twice", driver.free(made));
  row("free null", driver.free(0));
}

void pointers(const Program& program) {
  const Pointer made = program.managed(10000);
  auto* const ask = named<Result(void*, int, Pointer)>("cuPointerGetAttribute");
  const auto attribute = [&](const char* name, int number) {
    unsigned value = 99;
    const Result answer = ask(&value, number, made + 100);
    row(name, answer == 0 ? static_cast<long long>(value) : -answer);
  };
  attribute("memory type", 2);
  attribute("sync memops", 6);
  attribute("is managed", 8);
  attribute("device", 9);
  attribute("ipc", 10);
  attribute("mapped", 13);
  attribute("rdma", 15);
  attribute("access flags", 16);
  Pointer pointer = 0;
  row("device pointer", ask(&pointer, 3, made + 100));
  row("it is the same", pointer == made + 100);
  row("host pointer", ask(&pointer, 4, made + 100));
  row("it is the same", pointer == made + 100);
  MUST(program.driver.free(made));
}

void hints(const Program& program) {
  const Pointer made = program.managed(1 << 22);
  auto* const prefetch = named<Result(Pointer, std::size_t, int, void*)>("cuMemPrefetchAsync");
  auto* const prefetch_to =
      named<Result(Pointer, std::size_t, Location, unsigned, void*)>("cuMemPrefetchAsync_v2");
  auto* const advise = named<Result(Pointer, std::size_t, int, int)>("cuMemAdvise");
  auto* const ask =
      named<Result(void*, std::size_t, int, Pointer, std::size_t)>("cuMemRangeGetAttribute");
  constexpr std::size_t size = 1 << 22;
  row("prefetch", prefetch(made, size, 0, program.stream));
  row("prefetch to the host", prefetch(made, size, -1, program.stream));
  row("prefetch to nowhere", prefetch(made, size, 99, program.stream));
  row("prefetch nothing", prefetch(made, 0, 0, program.stream));
  row("prefetch past the end", prefetch(made, size + 1, 0, program.stream));
  row("prefetch with flags", prefetch_to(made, size, {1, 0}, 1, program.stream));
  row("prefetch to device -1", prefetch_to(made, size, {1, -1}, 0, program.stream));
  row("prefetch to a node", prefetch_to(made, size, {3, 0}, 0, program.stream));
  const auto attribute = [&](const char* name, int number, std::size_t part) {
    int value = 99;
    const Result answer = ask(&value, sizeof value, number, made, part);
    row(name, answer == 0 ? value : -1000 - answer);
  };
  attribute("preferred, unset", 2, size);
  row("advise preferred host", advise(made, size / 2, 3, -1));
  attribute("preferred", 2, size / 2);
  attribute("preferred, mixed", 2, size);
  attribute("its type", 5, size / 2);
  row("advise read mostly", advise(made, size, 1, 99));
  attribute("read mostly", 1, size);
  row("advise accessed by", advise(made, size, 5, 0));
  int devices[3] = {99, 99, 99};
  row("accessed by", ask(devices, sizeof devices, 3, made, size));
  row("first", devices[0]);
  row("last", devices[2]);
  row("advise a bad device", advise(made, size, 3, 99));
  attribute("of nothing", 1, 0);
  attribute("past the end", 1, size + 1);
  int value = 0;
  row("a wrong size", ask(&value, 3, 1, made, size));
  auto* const attach =
      named<Result(void*, Pointer, std::size_t, unsigned)>("cuStreamAttachMemAsync");
  row("attach", attach(program.stream, made, 0, 4));
  row("attach a part", attach(program.stream, made, 4096, 4));
  row("attach inside", attach(program.stream, made + 4096, 0, 4));
  row("attach to the default stream", attach(nullptr, made, 0, 4));
  using PrefetchList = Result(Pointer*, std::size_t*, std::size_t, Location*, std::size_t*,
                              std::size_t, unsigned long long, void*);
  auto* const prefetch_list = named<PrefetchList>("cuMemPrefetchBatchAsync");
  auto* const discard_list =
      named<Result(Pointer*, std::size_t*, std::size_t, unsigned long long, void*)>(
          "cuMemDiscardBatchAsync");
  Pointer begins[] = {made, made + (1 << 21)};
  std::size_t sizes[] = {4096, 8192};
  Location places[] = {{1, 0}, {2, 0}};
  std::size_t first[] = {0, 1};
  row("prefetch a list", prefetch_list(begins, sizes, 2, places, first, 2, 0, program.stream));
  row("with flags", prefetch_list(begins, sizes, 2, places, first, 2, 1, program.stream));
  row("in the default stream", prefetch_list(begins, sizes, 2, places, first, 2, 0, nullptr));
  row("discard a list", discard_list(begins, sizes, 2, 0, program.stream));
  row("with flags", discard_list(begins, sizes, 2, 1, program.stream));
  row("in the default stream", discard_list(begins, sizes, 2, 0, nullptr));
  MUST(program.driver.free(made));
}

void words(const Program& program, Pointer made) {
  using Word32 = Result(void*, Pointer, std::uint32_t, unsigned);
  using Word64 = Result(void*, Pointer, std::uint64_t, unsigned);
  row("wait for a word", named<Word32>("cuStreamWaitValue32_v2")(program.stream, made, 0, 0));
  row("write a word", named<Word64>("cuStreamWriteValue64_v2")(program.stream, made, 1, 0));
  struct {
    std::uint64_t kind;
    Pointer address;
    std::uint64_t rest[4];
  } operations[2] = {{3, 0, {}}, {2, made, {1}}};
  using List = Result(void*, unsigned, void*, unsigned);
  row("a list of words", named<List>("cuStreamBatchMemOp_v2")(program.stream, 2, operations, 0));
}

void refusals(const Program& program) {
  const Pointer made = program.managed(1 << 21);
  char handle[64] = "";
  row("ipc handle", named<Result(void*, Pointer)>("cuIpcGetMemHandle")(handle, made));
  row("register",
      named<Result(void*, std::size_t, unsigned)>("cuMemHostRegister_v2")(at<void>(made), 4096, 0));
  Pointer device = 0;
  row("device pointer of the host",
      named<Result(Pointer*, void*, unsigned)>("cuMemHostGetDevicePointer_v2")(&device,
                                                                               at<void>(made), 0));
  row("free as host memory", named<Result(void*)>("cuMemFreeHost")(at<void>(made)));
  row("free in a stream", named<Result(Pointer, void*)>("cuMemFreeAsync")(made, program.stream));
  words(program, made);
  MUST(program.driver.free(made));
}

}  // namespace

int main(int count, char** words) {
  open_driver(count > 2 ? words[2] : "libcuda.so.1");
  const Program program;
  if (count > 1 && std::strcmp(words[1], "table") == 0) {
    allocations(program);
    pointers(program);
    hints(program);
    refusals(program);
    return 0;
  }
  list(program);
  turns(program);
  copies(program);
  parameters(program);
  launches(program);
  threads(program);
  return 0;
}
