// A row for each call of libc that the guard watches: it makes the call with what it takes in
// managed memory, on the device, and prints the results. The lines must be those of a run on plain
// memory.
#pragma once

#include <dlfcn.h>
#include <errno.h>

#include <cstddef>
#include <cstring>
#include <new>

namespace rows {

// Managed memory of the row, or plain memory in a native run.
void* take(std::size_t size);
// Sends all that the row took to the device.
void away();

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
// So many bytes of a letter.
char* letters(char letter, std::size_t size);
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
