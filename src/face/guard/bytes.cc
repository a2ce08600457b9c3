// The functions on bytes and strings that the guard and its compiler use, hidden in the guard
// itself.
//
// Why: the guard starts before every other library. A program built with a sanitizer has its own
// functions of these names, which take precedence in every library and may not be called before the
// sanitizer has started. Signal handlers must not call interceptors either. Cost: `rep movsb`
// copies at memory speed from a few hundred bytes on.
#include <stddef.h>

#define SLUICE_GUARD_HIDDEN extern "C" __attribute__((visibility("hidden"), used))

SLUICE_GUARD_HIDDEN void* memcpy(void* to, const void* from, size_t size) noexcept {
  void* at = to;
  asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
  return to;
}
SLUICE_GUARD_HIDDEN void* memset(void* to, int value, size_t size) noexcept {
  void* at = to;
  asm volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
  return to;
}
SLUICE_GUARD_HIDDEN size_t strlen(const char* text) noexcept {
  size_t size = 0;
  while (text[size] != 0) ++size;
  return size;
}
SLUICE_GUARD_HIDDEN int strncmp(const char* a, const char* b, size_t size) noexcept {
  for (size_t i = 0; i < size; ++i)
    if (a[i] != b[i] || a[i] == 0)
      return static_cast<unsigned char>(a[i]) - static_cast<unsigned char>(b[i]);
  return 0;
}
SLUICE_GUARD_HIDDEN int strcmp(const char* a, const char* b) noexcept {
  return strncmp(a, b, ~size_t{0});
}
SLUICE_GUARD_HIDDEN char* strncat(char* to, const char* from, size_t size) noexcept {
  char* end = to + strlen(to);
  for (; size != 0 && *from != 0; --size) *end++ = *from++;
  *end = 0;
  return to;
}
