// guard_cases NAME: runs one case. guard_cases --list names them. SLUICE_CASES says whose managed
// memory it is: plain (none), stand_in, signal or userfaultfd.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../stand_in/stand_in.h"
#include "cases.hpp"
#include "sluice.h"

namespace cases {
namespace {

Entry* first = nullptr;
enum class Source { plain, stand_in, sluice } source = Source::plain;
sluice_space* space = nullptr;

void need(enum sluice_status status) {
  if (status == SLUICE_OK) return;
  fprintf(stderr, "%s\n", sluice_last_error());
  _exit(77);
}

void open_source() {
  const char* const name = getenv("SLUICE_CASES");
  if (name == nullptr || strcmp(name, "plain") == 0) return;
  if (strcmp(name, "stand_in") == 0) {
    source = Source::stand_in;
    stand_in_allocate(4096);  // sets its handler
    return;
  }
  source = Source::sluice;
  struct sluice_space_options options = {};
  options.size = sizeof options;
  options.address_space = size_t{1} << 32;
  options.best_grade = strcmp(name, "signal") == 0 ? SLUICE_GRADE_SIGNAL : SLUICE_GRADE_FULL;
  need(sluice_space_open(&options, &space));
}

void* allocate(std::size_t size) {
  if (source == Source::stand_in) return stand_in_allocate(size);
  if (source == Source::plain)
    return mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  void* memory = nullptr;
  need(sluice_allocate(space, size, SLUICE_KIND_SHARED, SLUICE_PAGES_SMALL, &memory));
  return memory;
}

void send(void* memory, std::size_t size) {
  if (source == Source::stand_in) stand_in_to_device(memory);
  if (source != Source::sluice) return;
  struct sluice_fence fence;
  need(sluice_prefetch(space, memory, size, 0, &fence));
  need(sluice_fence_wait(space, fence, -1, SLUICE_ON_SIGNAL_KEEP_WAITING));
}

}  // namespace

Entry::Entry(const char* its_name, Case its_run) : name(its_name), run(its_run), next(first) {
  first = this;
}

volatile int* managed() {
  auto* const page = static_cast<volatile int*>(allocate(4096));
  *page = held;
  take_away(page);
  return page;
}

void take_away(volatile int* page) { send(const_cast<int*>(page), 4096); }

void launch(volatile int* page) {
  void* const memory = const_cast<int*>(page);
  if (source == Source::stand_in) stand_in_add(memory, 0);
  if (source != Source::sluice) return;
  sluice_queue* queue = nullptr;
  need(sluice_queue_create(space, 0, &queue));
  const sluice_use use = {memory, 4096, SLUICE_ACCESS_WRITE};
  struct sluice_launch request = {};
  request.size = sizeof request;
  need(sluice_kernel_find(space, 0, nullptr, "nothing", &request.kernel));
  request.uses = &use;
  request.use_count = 1;
  struct sluice_fence fence;
  need(sluice_launch_submit(queue, &request, &fence));
  need(sluice_fence_wait(space, fence, -1, SLUICE_ON_SIGNAL_KEEP_WAITING));
  sluice_queue_destroy(queue);
}

volatile int* wild() {
  static void* const page = mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return static_cast<volatile int*>(page);
}

unsigned char* managed_bytes(std::size_t size) {
  auto* const bytes = static_cast<unsigned char*>(allocate(size));
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<unsigned char>(i * 7);
  send(bytes, size);
  return bytes;
}

void say(const char* format, ...) {
  char line[256];
  va_list arguments;
  va_start(arguments, format);
  int size = vsnprintf(line, sizeof line - 1, format, arguments);
  va_end(arguments);
  line[size++] = '\n';
  [[maybe_unused]] const ssize_t written = write(STDOUT_FILENO, line, static_cast<size_t>(size));
}

struct sigaction set(int signal, void (*handler)(int, siginfo_t*, void*), int flags) {
  struct sigaction action = {};
  struct sigaction before = {};
  action.sa_sigaction = handler;
  action.sa_flags = flags;
  if (sigaction(signal, &action, &before) != 0) say("sigaction failed");
  return before;
}

void set_plain(int signal, void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  if (sigaction(signal, &action, nullptr) != 0) say("sigaction failed");
}

bool mask(int how, int signal) {
  sigset_t wanted;
  sigset_t before;
  sigemptyset(&wanted);
  sigaddset(&wanted, signal);
  pthread_sigmask(how, &wanted, &before);
  return sigismember(&before, signal) != 0;
}

bool is_blocked(int signal) {
  sigset_t now;
  sigprocmask(SIG_BLOCK, nullptr, &now);
  return sigismember(&now, signal) != 0;
}

}  // namespace cases

int main(int argc, char** argv) {
  using namespace cases;
  if (argc != 2) return 2;
  if (strcmp(argv[1], "--list") == 0) {
    for (const Entry* entry = first; entry != nullptr; entry = entry->next) puts(entry->name);
    return 0;
  }
  alarm(120);
  open_source();
  for (const Entry* entry = first; entry != nullptr; entry = entry->next) {
    if (strcmp(entry->name, argv[1]) != 0) continue;
    entry->run();
    say("end");
    _exit(0);
  }
  return 2;
}
