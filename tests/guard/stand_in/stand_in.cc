// The stand-in driver. What it imitates: one handler, set at the first allocation and never looked at again; an allocation is
// PROT_NONE while the device has it, and comes back whole; the handler takes a lock and copies; a foreign fault goes to the handler
// that was found: with its information if that took any, else as a bare call on whatever stack this is; where none was found the
// default is set for the whole process; an ignoring one makes it return.
#include "stand_in.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <mutex>

namespace {

constexpr int limit = 64;

struct Allocation {
  char* host = nullptr;
  char* device = nullptr;
  std::size_t size = 0;
  bool on_device = false;
};

Allocation allocations[limit];
std::recursive_mutex lock;
std::atomic<unsigned> migrations{0};
struct sigaction found;

Allocation* holding(const void* address) {
  for (Allocation& allocation : allocations)
    if (static_cast<const char*>(address) >= allocation.host &&
        static_cast<const char*>(address) < allocation.host + allocation.size)
      return &allocation;
  return nullptr;
}

bool bring_back(void* address) {
  const std::lock_guard<std::recursive_mutex> hold(lock);
  Allocation* const allocation = holding(address);
  if (allocation == nullptr) return false;
  if (!allocation->on_device) return true;
  mprotect(allocation->host, allocation->size, PROT_READ | PROT_WRITE);
  memcpy(allocation->host, allocation->device, allocation->size);
  allocation->on_device = false;
  ++migrations;
  return true;
}

void on_fault(int signal, siginfo_t* info, void* context) {
  if (bring_back(info->si_addr)) return;
  if ((found.sa_flags & SA_SIGINFO) != 0)
    found.sa_sigaction(signal, info, context);
  else if (found.sa_handler == SIG_DFL)
    sigaction(SIGSEGV, &found, nullptr);
  else if (found.sa_handler != SIG_IGN)
    found.sa_handler(signal);
}

void* map(std::size_t size) {
  return mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void send(Allocation& allocation) {
  if (allocation.on_device) return;
  memcpy(allocation.device, allocation.host, allocation.size);
  memset(allocation.host, 0xee, allocation.size);  // whoever sees this sees a stale page
  allocation.on_device = true;
  mprotect(allocation.host, allocation.size, PROT_NONE);
}

}  // namespace

void* stand_in_allocate(size_t size) {
  const std::lock_guard<std::recursive_mutex> hold(lock);
  static bool is_set = false;
  if (!is_set) {
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, &found);
    is_set = true;
  }
  size = (size + 4095) & ~std::size_t{4095};
  for (Allocation& allocation : allocations) {
    if (allocation.host != nullptr) continue;
    allocation = {static_cast<char*>(map(size)), static_cast<char*>(map(size)), size, false};
    return allocation.host;
  }
  return nullptr;
}

void stand_in_to_device(void* allocation) {
  const std::lock_guard<std::recursive_mutex> hold(lock);
  send(*holding(allocation));
}

void stand_in_add(void* allocation, int value) {
  const std::lock_guard<std::recursive_mutex> hold(lock);
  Allocation& mine = *holding(allocation);
  send(mine);
  int* const words = reinterpret_cast<int*>(mine.device);
  for (std::size_t i = 0; i < mine.size / sizeof(int); ++i) words[i] += value;
}

unsigned stand_in_migrations(void) { return migrations; }
