// Limits of every grade: accesses that wait for the thread that they stop. The library's
// allocations come to the operator new below, in the midst of a launch that holds the blocks which
// it moves.
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include <atomic>
#include <new>

#include "cases.hpp"

using namespace cases;

namespace {

thread_local void (*on_allocation)() = nullptr;
constexpr int patience_ms = 3000;

volatile int* page = nullptr;
std::atomic<int> wanted{0};
std::atomic<int> touched{0};
std::atomic<bool> waited{false};

// An allocator's lock is held until another thread has touched the page.
void wait_for_a_touch() {
  const int number = ++wanted;
  for (int ms = 0; touched < number && !waited; ++ms) {
    if (ms == patience_ms) waited = true;
    usleep(1000);
  }
}
void* touch_when_wanted(void*) {
  while (true) {
    const int now = wanted;
    if (touched < now && *page != 0) touched = now;
    usleep(100);
  }
  return nullptr;
}

void interrupt() { raise(SIGUSR1); }
void touch_in_handler(int) {
  ++wanted;
  if (*page != 0) ++touched;
}
void* see_whether_it_returns(void*) {
  for (int ms = 0; ms < patience_ms; ++ms) {
    usleep(1000);
    if (wanted == touched) ms = 0;
  }
  say("the handler's access waits");
  _exit(0);
}

}  // namespace

void* operator new(std::size_t size) {
  if (on_allocation != nullptr) on_allocation();
  void* const made = malloc(size);
  if (made == nullptr) throw std::bad_alloc();
  return made;
}

CASE(limit_an_allocator_that_waits) {
  page = managed();
  say("%d", *page);
  pthread_t thread;
  pthread_create(&thread, nullptr, touch_when_wanted, nullptr);
  on_allocation = wait_for_a_touch;
  launch(page);
  on_allocation = nullptr;
  say(waited ? "the access waits for the allocation" : "the access goes on");
}
CASE(limit_a_handler_that_interrupts_sluice) {
  page = managed();
  say("%d", *page);
  set_plain(SIGUSR1, touch_in_handler);
  pthread_t thread;
  pthread_create(&thread, nullptr, see_whether_it_returns, nullptr);
  on_allocation = interrupt;
  launch(page);
  on_allocation = nullptr;
  say("the handler's access goes on");
}
