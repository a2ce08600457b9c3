// Process: all that the machine keeps for one process that has opened /dev/kfd.
#pragma once

#include <cstdint>
#include <vector>

#include "face/kfd/uapi/events.hpp"
#include "face/kfd/uapi/eviction.hpp"
#include "face/kfd/uapi/memory.hpp"
#include "face/kfd/uapi/queues.hpp"
#include "face/kfd/uapi/svm_attributes.hpp"

namespace sluice::kfd {

struct Process {
  Process(const MachineSpec& spec, std::uint32_t number)
      : id(number), memory(spec.gpus), svm(spec.gpus, spec.links), xnack(spec.xnack) {
    memory.extend([this](int gpu, std::uint64_t address, bool writes) {
      return svm.reach(gpu, address, writes, xnack);
    });
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  std::uint32_t id;  // Linux's

  Memory memory;
  Events events;
  Queues queues;
  SvmAttributes svm;
  bool xnack;
  Eviction eviction;
  // After a reset: its queues do not run any more, until it ends (kfd_process_evict_queues).
  bool is_evicted = false;
  std::uint64_t event_page = 0;  // the handle of its buffer; 0: the page is the kernel's
};

}  // namespace sluice::kfd
