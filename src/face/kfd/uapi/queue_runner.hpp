// QueueRunner: lets the SDMA queues of one process run, as far as their doorbells were rung.
#pragma once

#include <cstdint>

#include "face/kfd/uapi/process.hpp"
#include "face/kfd/uapi/spec.hpp"
#include "face/kfd/uapi/surroundings.hpp"

namespace sluice::kfd {

class QueueRunner {
 public:
  QueueRunner(Process& process, Surroundings& surroundings)
      : process_(process), surroundings_(surroundings) {}

  // Some packets of each queue. True: there was work.
  bool run();

 private:
  bool run_queue(Queue& queue);
  // True: it ran, and the queue's `read` moved on.
  [[nodiscard]] bool run_packet(Queue& queue, std::uint64_t written);
  void interrupt(std::uint32_t context);
  void report_fault(int gpu, std::uint64_t address);
  [[nodiscard]] std::uint64_t* slots();

  Process& process_;
  Surroundings& surroundings_;
};

}  // namespace sluice::kfd
