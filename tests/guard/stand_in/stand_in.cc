// The stand-in driver. What it imitates: one handler, set at the first allocation and never looked
// at again; an allocation is PROT_NONE while the device has it, and comes back whole; the handler
// takes a lock and copies; a foreign fault goes to the handler that was found: with its information
// if that took any, else as a bare call on whatever stack this is; where none was found the default
// is set for the whole process; an ignoring one makes it return.
//
// STAND_IN_MANNERS adds the habits of other drivers, separated by commas:
//   queries asks which handler there is before it sets its own, and takes that answer for the one it found; while a found handler has
//           not returned, faults on its own memory are not answered (drivers of 2023 and later)
//   again   at each migration, sets its handler again if another one is there by then
//   masks   works on a thread that blocks all signals, and looks at the host's pages there
#include "stand_in.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>

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

constexpr int found_limit = 8;
struct sigaction found[found_limit];
int found_count = 0;
int passing_on = 0;  // found handlers that have not returned
int unanswered = 0;

bool has_manner(const char* name) {
  const char* const manners = getenv("STAND_IN_MANNERS");
  return manners != nullptr && strstr(manners, name) != nullptr;
}
const bool queries = has_manner("queries");
const bool sets_again = has_manner("again");
const bool masks = has_manner("masks");

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

void pass_on(int signal, siginfo_t* info, void* context) {
  const int last = found_count - 1 - passing_on;
  struct sigaction& previous = found[last < 0 ? 0 : last];
  ++passing_on;
  if ((previous.sa_flags & SA_SIGINFO) != 0)
    previous.sa_sigaction(signal, info, context);
  else if (previous.sa_handler == SIG_DFL)
    sigaction(SIGSEGV, &previous, nullptr);
  else if (previous.sa_handler != SIG_IGN)
    previous.sa_handler(signal);
  --passing_on;
}

void on_fault(int signal, siginfo_t* info, void* context) {
  if (queries && passing_on != 0 && holding(info->si_addr) != nullptr) {
    static const char text[] = "the same fault comes again and again\n";
    if (++unanswered < 1000) return;
    (void)!write(STDOUT_FILENO, text, sizeof text - 1);
    _exit(9);
  }
  if (!bring_back(info->si_addr)) pass_on(signal, info, context);
}

bool is_in_force() {
  struct sigaction now = {};
  sigaction(SIGSEGV, nullptr, &now);
  return now.sa_sigaction == on_fault;
}

void set_handler() {
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  if (queries) sigaction(SIGSEGV, nullptr, &before);
  sigaction(SIGSEGV, &action, queries ? nullptr : &before);
  if (found_count < found_limit) found[found_count++] = before;
}

// What a driver does on a thread of its own, if that is its manner.
template <typename Work>
void work(const Work& its_work) {
  if (!masks) return its_work();
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // the thread begins with it
  std::thread([&] {
    for (const Allocation& allocation : allocations)
      if (allocation.host != nullptr) (void)*static_cast<volatile char*>(allocation.host);
    its_work();
  }).join();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void* map(std::size_t size) {
  return mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

void send(Allocation& allocation) {
  if (allocation.on_device) return;
  if (sets_again && !is_in_force()) set_handler();
  memcpy(allocation.device, allocation.host, allocation.size);
  memset(allocation.host, 0xee, allocation.size);  // a reader of this reads a stale page
  allocation.on_device = true;
  mprotect(allocation.host, allocation.size, PROT_NONE);
}

}  // namespace

void* stand_in_allocate(size_t size) {
  const std::lock_guard<std::recursive_mutex> hold(lock);
  static bool is_set = false;
  if (!is_set) set_handler();
  is_set = true;
  size = (size + 4095) & ~std::size_t{4095};
  for (Allocation& allocation : allocations) {
    if (allocation.host != nullptr) continue;
    allocation = {static_cast<char*>(map(size)), static_cast<char*>(map(size)), size, false};
    return allocation.host;
  }
  return nullptr;
}

void stand_in_to_device(void* allocation) {
  work([allocation] {
    const std::lock_guard<std::recursive_mutex> hold(lock);
    send(*holding(allocation));
  });
}

void stand_in_add(void* allocation, int value) {
  work([allocation, value] {
    const std::lock_guard<std::recursive_mutex> hold(lock);
    Allocation& mine = *holding(allocation);
    send(mine);
    int* const words = reinterpret_cast<int*>(mine.device);
    for (std::size_t i = 0; i < mine.size / sizeof(int); ++i) words[i] += value;
  });
}

unsigned stand_in_migrations(void) { return migrations; }
