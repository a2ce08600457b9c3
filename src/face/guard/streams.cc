// Streams: stdio passes large buffers to the kernel from inside libc, so they are moved to the host
// before, and touched for drivers that need that; a store that changes nothing is made to each page
// of a buffer that is read into.
//
// A page may leave again before the kernel accesses it (another thread's launch). libc then returns
// a short count with EFAULT, after which files have lost nothing, and the rest is requested again.
// Streams over what gives its bytes once (terminals, message queues) are read beside managed memory
// (Bounce). What it does not do: buffers that setvbuf() gave to a stream.
#include <errno.h>
#include <stdio.h>

#include <type_traits>

#include "face/guard/buffers.hpp"

namespace sluice::guard {
namespace {

// Reads beside managed memory, in one call; false if that is not needed.
template <typename Move>
bool read_beside(std::byte* place, std::size_t bytes, FILE* file, Move&& move,
                 size_t& done) noexcept {
  if (!is_managed(place, bytes) || !gives_once(::fileno_unlocked(file))) return false;
  std::byte* parameter = place;
  const Buffer buffers[] = {taken(parameter, bytes)};
  std::byte small[Bounce::small_size];
  Bounce bounce(buffers, 1, small);
  if (!bounce.is_used()) return false;
  done = move(parameter, bytes, 0);
  bounce.finish(static_cast<long>(done));
  return true;
}

// `move(from, bytes, done)` makes the call for the rest, in bytes: libc counts elements by dividing
// what it moved. Returns elements.
template <typename Byte, typename Move>
size_t move_all(Byte* place, size_t each, size_t count, FILE* file, bool stores,
                Move&& move) noexcept {
  std::size_t bytes = 0;
  if (__builtin_mul_overflow(each, count, &bytes) || bytes == 0) return 0;
  bring_whole(place, bytes, stores);
  size_t done = 0;
  if constexpr (!std::is_const_v<Byte>)
    if (read_beside(place, bytes, file, move, done)) return done == bytes ? count : done / each;
  for (int attempt = 0; attempt < most_attempts(); ++attempt) {
    const bool had_failed = ::ferror_unlocked(file) != 0;
    const int before = errno;
    errno = 0;
    done += move(place + done, bytes - done, done);
    const int error = errno;
    if (error == 0) errno = before;
    if (done == bytes || error != EFAULT || had_failed) break;
    if (!is_managed(place + done, bytes - done) ||
        !touch_managed(place + done, bytes - done, stores)) {
      errno = EFAULT;
      break;
    }
    ::clearerr_unlocked(file);
  }
  return done == bytes ? count : done / each;
}

std::byte* bytes_at(void* place) noexcept { return static_cast<std::byte*>(place); }
const std::byte* bytes_at(const void* place) noexcept {
  return static_cast<const std::byte*>(place);
}

// Reads it as the program would.
size_t length_of(const char* text) noexcept {
  size_t length = 0;
  while (text[length] != 0) ++length;
  return length;
}

}  // namespace
}  // namespace sluice::guard

// NOLINTNEXTLINE(google-build-using-namespace): C functions follow
using namespace sluice::guard;

// NOLINTBEGIN(bugprone-macro-parentheses): a list of parameters takes none
#define STREAM_CALL(name, stores, parameters, ...)                                \
  SLUICE_GUARD_EXPORT size_t name parameters {                                    \
    return move_all(bytes_at(place), size, count, file, stores,                   \
                    [&](auto* rest, size_t bytes, [[maybe_unused]] size_t done) { \
                      return SLUICE_NEXT(name)(__VA_ARGS__);                      \
                    });                                                           \
  }
// NOLINTEND(bugprone-macro-parentheses)
STREAM_CALL(fread, true, (void* place, size_t size, size_t count, FILE* file), rest, 1, bytes, file)
STREAM_CALL(fread_unlocked, true, (void* place, size_t size, size_t count, FILE* file), rest, 1,
            bytes, file)
STREAM_CALL(__fread_chk, true, (void* place, size_t room, size_t size, size_t count, FILE* file),
            rest, room - done, 1, bytes, file)
STREAM_CALL(__fread_unlocked_chk, true,
            (void* place, size_t room, size_t size, size_t count, FILE* file), rest, room - done, 1,
            bytes, file)
STREAM_CALL(fwrite, false, (const void* place, size_t size, size_t count, FILE* file), rest, 1,
            bytes, file)
STREAM_CALL(fwrite_unlocked, false, (const void* place, size_t size, size_t count, FILE* file),
            rest, 1, bytes, file)

// Strings that are long enough go to the kernel as they are, so managed ones are written as bytes
// are.
#define STRING_CALL(name, write)                                                        \
  SLUICE_GUARD_EXPORT int name(const char* text, FILE* file) {                          \
    if (!has_windows() && !has_handler_drivers()) return SLUICE_NEXT(name)(text, file); \
    const size_t length = length_of(text);                                              \
    return write(text, 1, length, file) == length ? 1 : EOF;                            \
  }
STRING_CALL(fputs, fwrite)
STRING_CALL(fputs_unlocked, fwrite_unlocked)

SLUICE_GUARD_EXPORT int puts(const char* text) {
  if (!has_windows() && !has_handler_drivers()) return SLUICE_NEXT(puts)(text);
  const size_t length = length_of(text);
  ::flockfile(stdout);
  const bool written =
      fwrite_unlocked(text, 1, length, stdout) == length && ::putc_unlocked('\n', stdout) == '\n';
  ::funlockfile(stdout);
  if (!written) return EOF;
  return length < 0x7fffffff ? static_cast<int>(length) + 1 : 0x7fffffff;
}
