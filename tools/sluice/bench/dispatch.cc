// sluice bench dispatch: a user-mode queue against a dispatch call, on one software device.
//
// The queue: a slot is written, a word stored, and Linux is asked only to wake a sleeper. The call:
// a request to the device process, which checks that the two pieces of memory that the launch names
// are mapped, rings the doorbell and answers; two system calls on each side, the least that any
// driver needs. The kernel does nothing. Both take turns; the bench reports medians.
//
//   dispatch_submit      microseconds until a launch by call is handed over; the baseline is the queue
//   dispatch_round_trip  microseconds until it has also run and was waited for; the baseline is the queue
//   dispatch_rate        thousands of launches a second, 64 at a time and one wait; the baseline is the queue
//
// Takes a tenth of a second for each round.

#include <array>
#include <span>
#include <vector>

#include "bench/bench.hpp"
#include "device/soft/soft_device.hpp"
#include "face/cpp/inside.hpp"
#include "report.hpp"
#include "sluice/sluice.hpp"

namespace sluice::tool::bench {
namespace {

constexpr int turns = 200;
constexpr int launches_in_a_batch = 64;

class Ways {
 public:
  Ways()
      : space_(need("open a space", Space::open())),
        device_(*Inside::engine(space_)->back_end(0)),
        range_(need("allocate a mapped range", space_.allocate_mapped(2 * block_size, {0}))),
        queue_(need("queue", device_.create_queue())),
        kernel_(need("kernel", device_.find_kernel("", "nothing"))),
        named_{{{span_of(range_.data(), block_size), Access::read},
                {span_of(range_.data() + block_size, block_size), Access::write}}} {}
  Ways(const Ways&) = delete;
  Ways& operator=(const Ways&) = delete;
  ~Ways() { device_.destroy_queue(queue_); }

  void round() {
    for (int turn = 0; turn < turns; ++turn) {
      one(queue_submit_, queue_trip_, [this] { return by_queue(); });
      one(call_submit_, call_trip_, [this] { return by_call(); });
    }
    many(queue_rate_, [this] { return by_queue(); });
    many(call_rate_, [this] { return by_call(); });
  }
  void forget() {
    for (auto* samples :
         {&queue_submit_, &queue_trip_, &queue_rate_, &call_submit_, &call_trip_, &call_rate_})
      samples->clear();
  }
  [[nodiscard]] std::vector<Case> finish() const {
    return {{"dispatch_submit", median(call_submit_), "us", median(queue_submit_), {}},
            {"dispatch_round_trip", median(call_trip_), "us", median(queue_trip_), {}},
            {"dispatch_rate", median(call_rate_), "k/s", median(queue_rate_), {}}};
  }

 private:
  device::Fence by_queue() { return need("launch", device_.launch(queue_, command())); }
  device::Fence by_call() {
    return need("dispatch",
                device::soft::software_calls(device_)->dispatch(queue_, command(), named_));
  }
  [[nodiscard]] device::LaunchCommand command() const {
    return {.kernel = kernel_, .arguments = {}, .items = 1, .wait_for = {}};
  }

  template <typename Submit>
  void one(std::vector<double>& submit, std::vector<double>& trip, Submit&& way) {
    const Stopwatch watch;
    const device::Fence fence = way();
    submit.push_back(watch.microseconds());
    need("wait", device_.wait(fence, {}));
    trip.push_back(watch.microseconds());
  }
  template <typename Submit>
  void many(std::vector<double>& rate, Submit&& way) {
    const Stopwatch watch;
    device::Fence last;
    for (int i = 0; i < launches_in_a_batch; ++i) last = way();
    need("wait", device_.wait(last, {}));
    rate.push_back(launches_in_a_batch * 1e3 / watch.microseconds());
  }

  Space space_;
  device::Device& device_;
  Range range_;
  device::QueueId queue_;
  device::KernelId kernel_;
  std::array<device::NamedMemory, 2> named_;
  std::vector<double> queue_submit_, queue_trip_, queue_rate_, call_submit_, call_trip_, call_rate_;
};

}  // namespace

std::vector<Case> measure_dispatch(const Options& options) {
  Ways ways;
  ways.round();
  ways.forget();
  for (int round = 0; goes_on(round, options.rounds); ++round) ways.round();
  return ways.finish();
}

}  // namespace sluice::tool::bench
