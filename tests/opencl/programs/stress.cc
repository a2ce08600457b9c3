// Eight host threads enqueue kernels, copies, fills and migrations, and touch the same memory, all
// at once.
//
//   stress SECONDS [THREADS]
//
// Each thread has a queue and allocations of its own, small ones among them that share pages with
// others', and knows what every byte must be. It prints how much it did and how many bytes were
// wrong, and ends with 0 if none.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <random>
#include <thread>

#include "usm.hpp"

namespace {

constexpr const char* source = R"(
kernel void add_to_all(global uint* data, uint amount) { data[get_global_id(0)] += amount; }
kernel void mix_in(global uint* to, global const uint* from) { to[get_global_id(0)] ^= from[get_global_id(0)]; }
)";

std::atomic<std::uint64_t> operations{0};
std::atomic<std::uint64_t> wrong{0};

class Worker {
 public:
  Worker(const usm::World& world, unsigned number)
      : world_(world), random_(number), queue_(world.make_queue()) {
    add_ = world.kernel(source, "add_to_all");
    mix_ = world.kernel(source, "mix_in");
    for (const std::size_t count : {std::size_t{64}, std::size_t{1000}, std::size_t{300000}})
      pieces_.push_back({world.shared<std::uint32_t>(count), std::vector<std::uint32_t>(count)});
    for (Piece& piece : pieces_) std::memset(piece.memory, 0, piece.truth.size() * 4);
  }
  ~Worker() {
    MUST(clFinish(queue_));
    for (Piece& piece : pieces_) MUST(world_.free(world_.context, piece.memory));
    clReleaseKernel(add_);
    clReleaseKernel(mix_);
    clReleaseCommandQueue(queue_);
  }

  void step() {
    switch (random_() % 7) {
      case 0:
      case 1:
        return add();
      case 2:
        return touch();
      case 3:
        return copy();
      case 4:
        return fill();
      case 5:
        return migrate();
      default:
        return mix();
    }
  }

  void check_all() {
    MUST(clFinish(queue_));
    for (Piece& piece : pieces_) check(piece, 0, piece.truth.size());
  }

 private:
  struct Piece {
    std::uint32_t* memory;
    std::vector<std::uint32_t> truth;
  };

  Piece& any() { return pieces_[random_() % pieces_.size()]; }

  static void check(const Piece& piece, std::size_t first, std::size_t count) {
    for (std::size_t i = first; i < first + count; ++i) {
      if (piece.memory[i] == piece.truth[i]) continue;
      if (wrong++ < 5)
        std::fprintf(stderr, "%p[%zu] is %u instead of %u\n", static_cast<void*>(piece.memory), i,
                     piece.memory[i], piece.truth[i]);
    }
  }

  void add() {
    Piece& piece = any();
    const cl_uint amount = static_cast<cl_uint>(random_());
    MUST(world_.set_pointer(add_, 0, piece.memory));
    MUST(clSetKernelArg(add_, 1, sizeof(amount), &amount));
    world_.run(add_, piece.truth.size(), queue_);
    for (std::uint32_t& value : piece.truth) value += amount;
  }

  void mix() {
    Piece& to = pieces_[1];
    const Piece& from = pieces_[2];
    MUST(world_.set_pointer(mix_, 0, to.memory));
    MUST(world_.set_pointer(mix_, 1, from.memory));
    world_.run(mix_, to.truth.size(), queue_);
    for (std::size_t i = 0; i < to.truth.size(); ++i) to.truth[i] ^= from.truth[i];
  }

  // The host reads a stretch and changes a word. Where pages move, the access itself waits for what
  // was enqueued before.
  void touch() {
    Piece& piece = any();
    if (at_once_) MUST(clFinish(queue_));
    const std::size_t first = random_() % piece.truth.size();
    check(piece, first, std::min<std::size_t>(256, piece.truth.size() - first));
    piece.memory[first] = piece.truth[first] = static_cast<std::uint32_t>(random_());
  }

  void copy() {
    Piece& to = pieces_[1];
    const Piece& from = pieces_[2];
    MUST(world_.copy(queue_, CL_FALSE, to.memory, from.memory + 17, 900 * 4, 0, nullptr, nullptr));
    std::copy_n(from.truth.begin() + 17, 900, to.truth.begin());
  }

  void fill() {
    Piece& piece = any();
    const std::uint32_t pattern = static_cast<std::uint32_t>(random_());
    const std::size_t count = 1 + random_() % piece.truth.size();
    MUST(world_.fill(queue_, piece.memory, &pattern, 4, count * 4, 0, nullptr, nullptr));
    std::fill_n(piece.truth.begin(), count, pattern);
  }

  void migrate() {
    const Piece& piece = any();
    const cl_mem_migration_flags to = random_() % 2 == 0 ? CL_MIGRATE_MEM_OBJECT_HOST : 0;
    cl_event event = nullptr;
    MUST(world_.migrate(queue_, piece.memory, piece.truth.size() * 4, to, 0, nullptr, &event));
    if (random_() % 2 == 0) MUST(clWaitForEvents(1, &event));
    MUST(clReleaseEvent(event));
  }

  const usm::World& world_;
  const bool at_once_ = world_.shares_at_once();
  std::minstd_rand random_;
  cl_command_queue queue_;
  cl_kernel add_;
  cl_kernel mix_;
  std::vector<Piece> pieces_;
};

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 5;
  const int count = argc > 2 ? std::atoi(argv[2]) : 8;
  const usm::World world;
  std::vector<std::thread> threads;
  for (int number = 0; number < count; ++number)
    threads.emplace_back([&, number] {
      Worker worker(world, 100 + static_cast<unsigned>(number));
      // From here on: building kernels may take longer than the whole stress.
      const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
      while (std::chrono::steady_clock::now() < end) {
        worker.step();
        ++operations;
      }
      worker.check_all();
    });
  for (std::thread& thread : threads) thread.join();
  const bool good = wrong == 0 && operations != 0;
  std::printf("stress: %llu operations, %llu wrong words: %s\n",
              static_cast<unsigned long long>(operations.load()),
              static_cast<unsigned long long>(wrong.load()), good ? "PASS" : "FAIL");
  return good ? 0 : 1;
}
