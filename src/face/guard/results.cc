// Calls of libc for which the kernel writes small results, or reads small arguments, that programs
// may keep in managed memory: states of files, returned names, directories, sets of files to wait
// for, addresses of sockets, attributes.
//
// There are so many because each is one line, and a call that returns EFAULT for a valid pointer is
// hard to find. Not here: results that libc copies itself (statvfs, getaddrinfo, readdir), the
// clocks, which libc reads without the kernel, and names of files: EFAULT for those.
#include <dirent.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "face/guard/buffers.hpp"

// NOLINTNEXTLINE(google-build-using-namespace): C functions follow
using namespace sluice::guard;

#define CALL SLUICE_GUARD_CALL

// clang-format off
// --- files and directories -----------------------------------------------------------------------
CALL(int, stat, (const char* path, struct stat* to) noexcept, (path, to), out(to))
CALL(int, stat64, (const char* path, struct stat64* to) noexcept, (path, to), out(to))
CALL(int, lstat, (const char* path, struct stat* to) noexcept, (path, to), out(to))
CALL(int, lstat64, (const char* path, struct stat64* to) noexcept, (path, to), out(to))
CALL(int, fstat, (int file, struct stat* to) noexcept, (file, to), out(to))
CALL(int, fstat64, (int file, struct stat64* to) noexcept, (file, to), out(to))
CALL(int, fstatat, (int folder, const char* path, struct stat* to, int flags) noexcept, (folder, path, to, flags), out(to))
CALL(int, fstatat64, (int folder, const char* path, struct stat64* to, int flags) noexcept, (folder, path, to, flags), out(to))
CALL(int, statx, (int folder, const char* path, int flags, unsigned mask, struct statx* to) noexcept, (folder, path, flags, mask, to), out(to))
// The same in programs that were built before glibc 2.33.
CALL(int, __xstat, (int version, const char* path, struct stat* to) noexcept, (version, path, to), out(to))
CALL(int, __xstat64, (int version, const char* path, struct stat64* to) noexcept, (version, path, to), out(to))
CALL(int, __lxstat, (int version, const char* path, struct stat* to) noexcept, (version, path, to), out(to))
CALL(int, __lxstat64, (int version, const char* path, struct stat64* to) noexcept, (version, path, to), out(to))
CALL(int, __fxstat, (int version, int file, struct stat* to) noexcept, (version, file, to), out(to))
CALL(int, __fxstat64, (int version, int file, struct stat64* to) noexcept, (version, file, to), out(to))
CALL(int, statfs, (const char* path, struct statfs* to) noexcept, (path, to), out(to))
CALL(int, statfs64, (const char* path, struct statfs64* to) noexcept, (path, to), out(to))
CALL(int, fstatfs, (int file, struct statfs* to) noexcept, (file, to), out(to))
CALL(int, fstatfs64, (int file, struct statfs64* to) noexcept, (file, to), out(to))
CALL(ssize_t, readlink, (const char* path, char* to, size_t size) noexcept, (path, to, size), out(to, size))
CALL(ssize_t, __readlink_chk, (const char* path, char* to, size_t size, size_t room) noexcept, (path, to, size, room), out(to, size))
CALL(ssize_t, readlinkat, (int folder, const char* path, char* to, size_t size) noexcept, (folder, path, to, size), out(to, size))
CALL(ssize_t, __readlinkat_chk, (int folder, const char* path, char* to, size_t size, size_t room) noexcept, (folder, path, to, size, room), out(to, size))
CALL(char*, getcwd, (char* to, size_t size) noexcept, (to, size), out(to, size))
CALL(char*, __getcwd_chk, (char* to, size_t size, size_t room) noexcept, (to, size, room), out(to, size))
CALL(ssize_t, getdents64, (int file, void* to, size_t size) noexcept, (file, to, size), taken(to, size))
CALL(ssize_t, getxattr, (const char* path, const char* name, void* to, size_t size) noexcept, (path, name, to, size), out(to, size))
CALL(ssize_t, lgetxattr, (const char* path, const char* name, void* to, size_t size) noexcept, (path, name, to, size), out(to, size))
CALL(ssize_t, fgetxattr, (int file, const char* name, void* to, size_t size) noexcept, (file, name, to, size), out(to, size))
CALL(ssize_t, listxattr, (const char* path, char* to, size_t size) noexcept, (path, to, size), out(to, size))
CALL(ssize_t, llistxattr, (const char* path, char* to, size_t size) noexcept, (path, to, size), out(to, size))
CALL(ssize_t, flistxattr, (int file, char* to, size_t size) noexcept, (file, to, size), out(to, size))
CALL(int, setxattr, (const char* path, const char* name, const void* from, size_t size, int flags) noexcept, (path, name, from, size, flags), in(from, size))
CALL(int, lsetxattr, (const char* path, const char* name, const void* from, size_t size, int flags) noexcept, (path, name, from, size, flags), in(from, size))
CALL(int, fsetxattr, (int file, const char* name, const void* from, size_t size, int flags) noexcept, (file, name, from, size, flags), in(from, size))
CALL(int, pipe, (int* to) noexcept, (to), out(to, 2 * sizeof *to))
CALL(int, pipe2, (int* to, int flags) noexcept, (to, flags), out(to, 2 * sizeof *to))

// --- waiting for files (with a set of signals: masks.cc) -----------------------------------------
CALL(int, poll, (struct pollfd* files, nfds_t count, int timeout), (files, count, timeout), polled(files, count))
CALL(int, __poll_chk, (struct pollfd* files, nfds_t count, int timeout, size_t room), (files, count, timeout, room), polled(files, count))
CALL(int, select, (int count, fd_set* reads, fd_set* writes, fd_set* exceptions, struct timeval* timeout), (count, reads, writes, exceptions, timeout), taken(reads, bytes_of_set(count), whole_buffer), taken(writes, bytes_of_set(count), whole_buffer), taken(exceptions, bytes_of_set(count), whole_buffer), taken(timeout, sizeof *timeout, whole_always))
CALL(int, epoll_wait, (int file, struct epoll_event* to, int count, int timeout), (file, to, count, timeout), taken(to, bytes_of(count, sizeof *to), {.unit = sizeof *to}))
CALL(int, epoll_ctl, (int file, int operation, int other, struct epoll_event* event) noexcept, (file, operation, other, event), in(event))

// --- sockets -------------------------------------------------------------------------------------
CALL(int, getsockopt, (int socket, int level, int option, void* to, socklen_t* size) noexcept, (socket, level, option, to, size), taken(to, length_at(size), whole_buffer), taken(size, sizeof *size, whole_buffer))
CALL(int, setsockopt, (int socket, int level, int option, const void* from, socklen_t size) noexcept, (socket, level, option, from, size), in(from, size))
CALL(int, getsockname, (int socket, sockaddr* to, socklen_t* size) noexcept, (socket, to, size), taken(to, length_at(size), whole_buffer), taken(size, sizeof *size, whole_buffer))
CALL(int, getpeername, (int socket, sockaddr* to, socklen_t* size) noexcept, (socket, to, size), taken(to, length_at(size), whole_buffer), taken(size, sizeof *size, whole_buffer))
CALL(int, accept, (int socket, sockaddr* to, socklen_t* size), (socket, to, size), taken(to, length_at(size), whole_buffer), taken(size, sizeof *size, whole_buffer))
CALL(int, accept4, (int socket, sockaddr* to, socklen_t* size, int flags), (socket, to, size, flags), taken(to, length_at(size), whole_buffer), taken(size, sizeof *size, whole_buffer))
CALL(int, bind, (int socket, const sockaddr* to, socklen_t size) noexcept, (socket, to, size), in(to, size))
CALL(int, connect, (int socket, const sockaddr* to, socklen_t size), (socket, to, size), in(to, size))
CALL(int, socketpair, (int domain, int type, int protocol, int* to) noexcept, (domain, type, protocol, to), out(to, 2 * sizeof *to))

// --- processes and memory ------------------------------------------------------------------------
CALL(int, uname, (struct utsname* to) noexcept, (to), out(to))
CALL(int, getgroups, (int count, gid_t* to) noexcept, (count, to), out(to, bytes_of(count, sizeof *to)))
CALL(clock_t, times, (struct tms* to) noexcept, (to), out(to))
CALL(int, mincore, (void* begin, size_t size, unsigned char* to) noexcept, (begin, size, to), out(to, (size + 4095) / 4096))
CALL(pid_t, waitpid, (pid_t process, int* to, int options), (process, to, options), taken(to, sizeof *to, whole_if_any))
CALL(pid_t, wait, (int* to), (to), taken(to, sizeof *to, whole_if_any))
CALL(pid_t, wait3, (int* to, int options, struct rusage* usage) noexcept, (to, options, usage), taken(to, sizeof *to, whole_if_any), taken(usage, sizeof *usage, whole_if_any))
CALL(pid_t, wait4, (pid_t process, int* to, int options, struct rusage* usage) noexcept, (process, to, options, usage), taken(to, sizeof *to, whole_if_any), taken(usage, sizeof *usage, whole_if_any))
CALL(int, waitid, (idtype_t type, id_t id, siginfo_t* to, int options), (type, id, to, options), taken(to, sizeof *to, whole_buffer))
// clang-format on
