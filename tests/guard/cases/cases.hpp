// What every case uses: memory whose page is elsewhere, wild memory, and lines that are compared
// between runs.
//
// A case prints what the program sees, and nothing that differs from run to run of itself. It may
// end by any signal.
#pragma once

#include <setjmp.h>
#include <signal.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace cases {

// A managed page that is on the device now; plain memory in a native run. Holds `held` in its first
// word.
constexpr int held = 4711;
volatile int* managed();
// Moves a page of managed() to the device again.
void take_away(volatile int* page);
// Makes a launch that may write it; nothing in a native run.
void launch(volatile int* page);
// A page that nobody may touch.
volatile int* wild();
// Some managed bytes with a known content, on the device.
unsigned char* managed_bytes(std::size_t size);

void say(const char* format, ...) __attribute__((format(printf, 1, 2)));
// Sets a handler with flags and returns the action before.
struct sigaction set(int signal, void (*handler)(int, siginfo_t*, void*), int flags = SA_SIGINFO);
void set_plain(int signal, void (*handler)(int), int flags = 0);
// Blocks (SIG_BLOCK) or unblocks one signal; says whether it was blocked.
bool mask(int how, int signal);
bool is_blocked(int signal);

// From now on, programs are started without the guard and without managed memory.
void leave_the_guard();
// Does so, and starts this program with posix_spawn for another case.
int run_without_the_guard(const char* name);

using Case = void (*)();
struct Entry {
  Entry(const char* name, Case run);
  const char* name;
  Case run;
  Entry* next;
};

}  // namespace cases

#define CASE(name)                                        \
  static void name();                                     \
  static const cases::Entry entry_of_##name(#name, name); \
  static void name()
