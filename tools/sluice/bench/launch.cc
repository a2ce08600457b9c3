// sluice bench launch: the cost of naming memory in a launch when nothing has to move.
//
// A space with 1000 live ranges, all of them resident on the one device and left alone by the host;
// the kernel does nothing. The baseline is device::Device::launch, the bare submission of the same
// kernel with the same arguments to a queue of the same device. The three ways to launch take
// turns, launch by launch; the queue is drained between batches, outside the timed part. The bench
// reports medians over all launches.
//
//   launch_idle         microseconds more than the bare submission, naming one range to read and one to write
//   launch_idle_every   microseconds more than the bare submission, on every shared range (indirect access)
//   launch_submit       microseconds of the whole submission, naming two ranges
//
// Takes a tenth of a second for each round.

#include <array>
#include <cstdint>
#include <vector>

#include "base/types.hpp"
#include "bench/bench.hpp"
#include "face/cpp/inside.hpp"
#include "report.hpp"
#include "sluice/sluice.hpp"

namespace sluice::tool::bench {
namespace {

constexpr std::size_t range_count = 1000;
constexpr int batches = 100;
constexpr int batch_size = 16;

using Arguments = std::array<std::uint64_t, 2>;

class Launches {
 public:
  Launches()
      : space_(need("open a space", Space::open())),
        engine_(*Inside::engine(space_)),
        device_(*engine_.back_end(0)),
        queue_(need("queue", space_.queue(0))),
        kernel_(need("kernel", queue_.kernel("nothing"))),
        bare_queue_(need("bare queue", device_.create_queue())),
        bare_kernel_(need("bare kernel", device_.find_kernel("", "nothing"))) {
    for (std::size_t i = 0; i < range_count; ++i) {
      ranges_.push_back(need("allocate a range", space_.allocate(page_size)));
      ranges_.back().data()[0] = std::byte{1};
    }
    need("wait", every().wait());
  }
  Launches(const Launches&) = delete;
  Launches& operator=(const Launches&) = delete;
  ~Launches() { device_.destroy_queue(bare_queue_); }

  void round() {
    for (int batch = 0; batch < batches; ++batch) {
      Fence last;
      device::Fence last_bare;
      for (int i = 0; i < batch_size; ++i) {
        const Stopwatch for_bare;
        last_bare = bare();
        bare_.push_back(for_bare.microseconds());

        const Stopwatch for_two;
        last = two(static_cast<std::size_t>(i));
        two_.push_back(for_two.microseconds());

        const Stopwatch for_every;
        last = every();
        every_.push_back(for_every.microseconds());
      }
      need("wait for a batch", last.wait());
      need("wait for a bare batch", device_.wait(last_bare, {}));
    }
  }

  [[nodiscard]] std::vector<Case> finish() const {
    const double bare = median(bare_);
    const double two = median(two_);
    return {
        {"launch_idle", two - bare, "us", bare, Goal{Goal::Side::at_most, 1.5, Goal::Of::value}},
        {"launch_idle_every", median(every_) - bare, "us", bare,
         Goal{Goal::Side::at_most, 1.5, Goal::Of::value}},
        {"launch_submit", two, "us", bare, {}}};
  }

  void forget() {
    bare_.clear();
    two_.clear();
    every_.clear();
  }

 private:
  device::Fence bare() {
    const Arguments arguments{};
    return need("bare launch",
                device_.launch(bare_queue_, {.kernel = bare_kernel_,
                                             .arguments = std::as_bytes(std::span(arguments)),
                                             .items = 1,
                                             .wait_for = {}}));
  }
  Fence two(std::size_t i) {
    return need("launch", queue_.launch(kernel_)
                              .reads(ranges_[2 * i])
                              .writes(ranges_[2 * i + 1])
                              .arguments(Arguments{})
                              .submit());
  }
  Fence every() {
    return need("launch",
                queue_.launch(kernel_).every_shared_range().arguments(Arguments{}).submit());
  }

  Space space_;
  engine::Engine& engine_;
  device::Device& device_;
  Queue queue_;
  Kernel kernel_;
  device::QueueId bare_queue_;
  device::KernelId bare_kernel_;
  std::vector<Range> ranges_;
  std::vector<double> bare_;
  std::vector<double> two_;
  std::vector<double> every_;
};

}  // namespace

std::vector<Case> measure_launch(const Options& options) {
  Launches launches;
  launches.round();
  launches.forget();
  for (int round = 0; goes_on(round, options.rounds); ++round) launches.round();
  return launches.finish();
}

}  // namespace sluice::tool::bench
