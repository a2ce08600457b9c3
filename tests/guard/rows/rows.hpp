// A row for each call of libc that the guard watches: it makes the call with what it takes in
// managed memory, on the device, and prints the results. The lines must be those of a run on plain
// memory.
#pragma once

#include <dlfcn.h>
#include <errno.h>

#include <atomic>
#include <cstddef>
#include <cstring>
#include <functional>
#include <new>
#include <thread>

namespace rows {

// Managed memory of the row, or plain memory in a native run.
void* take(std::size_t size);
// Managed memory for results, which leaves once more when the guard has brought it and calls on
// (leaving_pages.cc).
void* take_late(std::size_t size);
// Sends all that the row took to the device.
void away();
// How often a call was made since: once natively.
int calls();

// Acts in a thread of its own once the row's thread waits in the system call of this number, with
// the results' memory away. Ends with its scope.
class DuringCall {
 public:
  DuringCall(long number, std::function<void()> act);
  ~DuringCall();
  DuringCall(const DuringCall&) = delete;
  DuringCall& operator=(const DuringCall&) = delete;

 private:
  void run(int waiter);

  long number_;
  std::function<void()> act_;
  std::atomic<bool> is_over_{false};
  std::thread thread_;
};

// Prints a part of the row's line.
void say(const char* format, ...) __attribute__((format(printf, 1, 2)));
// What a call gave, and why not.
void result(long got);

// A value in managed memory.
template <typename T>
T* put(const T& value, std::size_t count = 1) {
  T* const at = static_cast<T*>(take(count * sizeof(T)));
  for (std::size_t i = 0; i < count; ++i) new (at + i) T(value);
  return at;
}
template <typename T>
T* put_late(const T& value, std::size_t count = 1) {
  T* const at = static_cast<T*>(take_late(count * sizeof(T)));
  for (std::size_t i = 0; i < count; ++i) new (at + i) T(value);
  return at;
}
// So many bytes of a letter.
char* letters(char letter, std::size_t size);
char* letters_late(char letter, std::size_t size);
bool is_all(const void* bytes, char letter, std::size_t size);

// The function that a program gets by this name.
template <typename Function>
Function* function(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

using Run = void (*)(const char* name);
struct Row {
  Row(const char* names, Run run);  // several names, separated by blanks: calls of one form
  const char* names;
  Run run;
  Row* next;
};

}  // namespace rows

#define ROWS_JOIN(a, b) a##b
#define ROWS_NAME(a, b) ROWS_JOIN(a, b)
#define ROW(names)                                                                      \
  static void ROWS_NAME(row_, __LINE__)(const char* name);                              \
  static const rows::Row ROWS_NAME(entry_, __LINE__)(names, ROWS_NAME(row_, __LINE__)); \
  static void ROWS_NAME(row_, __LINE__)([[maybe_unused]] const char* name)
