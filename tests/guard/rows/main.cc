// guard-rows SOURCE [ROUNDS]: runs every row once, or ROUNDS times while a thread sends the memory
// to the device all the time. SOURCE is plain, user or signal. Prints a line for each row and
// round.
#include <ctype.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <utility>

#include "rows.hpp"
#include "sluice.h"

namespace rows {
namespace {

constexpr std::size_t area_size = std::size_t{1} << 20;

extern "C" void rows_leave_before_next_call(void (*how)());
extern "C" int rows_calls();

Row* first = nullptr;
sluice_space* space = nullptr;
char* area = nullptr;
std::size_t used = 0;
char* late_area = nullptr;
std::size_t late_used = 0;
std::string line;
std::atomic<bool> stops{false};

void need(enum sluice_status status) {
  if (status == SLUICE_OK) return;
  fprintf(stderr, "%s\n", sluice_last_error());
  _exit(77);
}

void open_area(const std::string& source) {
  if (source == "plain") {
    area = static_cast<char*>(malloc(area_size));
    late_area = static_cast<char*>(malloc(area_size));
    return;
  }
  struct sluice_space_options options = {};
  options.size = sizeof options;
  options.address_space = std::size_t{1} << 32;
  options.best_grade = source == "user" ? SLUICE_GRADE_USER : SLUICE_GRADE_SIGNAL;
  need(sluice_space_open(&options, &space));
  void* memory = nullptr;
  need(sluice_allocate(space, area_size, SLUICE_KIND_SHARED, SLUICE_PAGES_SMALL, &memory));
  area = static_cast<char*>(memory);
  need(sluice_allocate(space, area_size, SLUICE_KIND_SHARED, SLUICE_PAGES_SMALL, &memory));
  late_area = static_cast<char*>(memory);
}

void send_away(char* begin) {
  if (space == nullptr) return;
  const int error = errno;
  struct sluice_fence fence;
  need(sluice_prefetch(space, begin, area_size, 0, &fence));
  need(sluice_fence_wait(space, fence, -1, SLUICE_ON_SIGNAL_KEEP_WAITING));
  errno = error;
}

void send_late_away() { send_away(late_area); }

bool is_in_call(int thread, long number) {
  char path[64];
  snprintf(path, sizeof path, "/proc/self/task/%d/syscall", thread);
  FILE* const file = fopen(path, "re");
  if (file == nullptr) return false;
  char text[32] = {};
  const bool is_read = fgets(text, sizeof text, file) != nullptr;
  fclose(file);
  return is_read && isdigit(text[0]) != 0 && atol(text) == number;
}

void* send_away_for_ever(void*) {
  while (!stops.load()) {
    send_away(area);
    send_away(late_area);
    usleep(20);
  }
  return nullptr;
}

void run(const Row& row) {
  const std::string names = row.names;
  for (std::size_t begin = 0; begin < names.size();) {
    const std::size_t end = std::min(names.find(' ', begin), names.size());
    const std::string name = names.substr(begin, end - begin);
    begin = end + 1;
    used = 0;
    late_used = 0;
    line = name + ":";
    if (dlsym(RTLD_DEFAULT, name.c_str()) == nullptr) continue;  // an older or a newer libc
    alarm(60);
    row.run(name.c_str());
    puts(line.c_str());
    fflush(stdout);
  }
}

}  // namespace

Row::Row(const char* its_names, Run its_run) : names(its_names), run(its_run), next(first) {
  first = this;
}

namespace {
void* take_from(char* begin, std::size_t& its_used, std::size_t size) {
  void* const at = begin + its_used;
  its_used += (size + 63) / 64 * 64;
  if (its_used > area_size) abort();
  memset(at, 0, size);
  return at;
}
}  // namespace

void* take(std::size_t size) { return take_from(area, used, size); }
void* take_late(std::size_t size) { return take_from(late_area, late_used, size); }

void away() {
  send_away(area);
  send_away(late_area);
  rows_leave_before_next_call(send_late_away);
}
int calls() { return rows_calls(); }

DuringCall::DuringCall(long number, std::function<void()> act)
    : number_(number), act_(std::move(act)), thread_(&DuringCall::run, this, gettid()) {}
DuringCall::~DuringCall() {
  is_over_.store(true);
  thread_.join();
}
void DuringCall::run(int waiter) {
  while (!is_over_.load() && !is_in_call(waiter, number_)) usleep(100);
  send_late_away();
  act_();
}

void say(const char* format, ...) {
  char text[256];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  line += ' ';
  line += text;
}

void result(long got) {
  const int error = errno;
  say("%ld", got);
  if (got < 0) say("(%s)", strerrorname_np(error));
}

char* letters(char letter, std::size_t size) {
  char* const at = static_cast<char*>(take(size));
  memset(at, letter, size);
  return at;
}

char* letters_late(char letter, std::size_t size) {
  char* const at = static_cast<char*>(take_late(size));
  memset(at, letter, size);
  return at;
}

bool is_all(const void* bytes, char letter, std::size_t size) {
  const char* const at = static_cast<const char*>(bytes);
  for (std::size_t i = 0; i < size; ++i)
    if (at[i] != letter) return false;
  return true;
}

}  // namespace rows

int main(int argc, char** argv) {
  using namespace rows;
  if (argc < 2) return 2;
  open_area(argv[1]);
  const int rounds = argc > 2 ? atoi(argv[2]) : 1;
  pthread_t sender = {};
  const bool sends = space != nullptr && rounds > 1;
  if (sends) pthread_create(&sender, nullptr, send_away_for_ever, nullptr);
  for (const Row* row = first; row != nullptr; row = row->next)
    for (int round = 0; round < rounds; ++round) run(*row);
  stops.store(true);
  if (sends) pthread_join(sender, nullptr);
  puts("end");
  fflush(stdout);
  _exit(0);
}
