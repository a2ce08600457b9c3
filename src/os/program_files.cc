// Finds its own path once, at load time, and checks the owners and modes of files beside it.
//
// The dynamic linker knows a library by the path that it was found with, which may be relative to
// the directory of that moment. For the main program /proc/self/exe is Linux's own record. Without
// /proc there is only the path given to execve(2) (AT_EXECFN), which the caller chose; that is good
// enough for a program with its user's rights, and is not used by others.
//
// Cost: one realpath(3) when the library is loaded, about 10 us. What it does not do: hold a file
// open between the check and its use. A writer that could exchange it in between could have done so
// before, and the check looks for such writers.
#include "os/program_files.hpp"

#include <dlfcn.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "os/environment.hpp"
#include "os/errors.hpp"

namespace sluice::os {
namespace {

constinit std::array<char, PATH_MAX> own_path{};  // empty: not known

void remember_program() noexcept {
  if (const ssize_t size = ::readlink("/proc/self/exe", own_path.data(), own_path.size() - 1);
      size > 0 && own_path[0] == '/') {
    own_path[static_cast<std::size_t>(size)] = 0;
    return;
  }
  own_path[0] = 0;
  const auto* const started = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
  if (has_raised_rights() || started == nullptr) return;
  if (::realpath(started, own_path.data()) == nullptr) own_path[0] = 0;
}

__attribute__((constructor)) void remember_own_file() noexcept {
  Dl_info info{};
  link_map* map = nullptr;
  if (::dladdr1(reinterpret_cast<const void*>(&remember_own_file), &info,
                reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0 ||
      map == nullptr) {
    return;
  }
  if (map->l_name == nullptr || *map->l_name == 0)
    remember_program();
  else if (::realpath(map->l_name, own_path.data()) == nullptr)
    own_path[0] = 0;
}

std::string folder_of(const std::string& path) {
  const std::size_t cut = path.rfind('/');
  return cut == 0 || cut == std::string::npos ? "/" : path.substr(0, cut);
}

bool is_trusted(uid_t owner) noexcept {
  if (owner == 0 || (!has_raised_rights() && owner == ::geteuid())) return true;
  struct stat mine{};
  return own_path[0] != 0 && ::stat(own_path.data(), &mine) == 0 && owner == mine.st_uid;
}

// A user's own files may be writable by a group: that is the user's choice.
bool others_may_write(const struct stat& file) noexcept {
  if ((file.st_mode & S_IWOTH) != 0 && (file.st_mode & S_ISVTX) == 0) return true;
  const bool own = !has_raised_rights() && file.st_uid == ::geteuid();
  return (file.st_mode & S_IWGRP) != 0 && file.st_gid != 0 && !own;
}

Result<void> check_one(const std::string& path, mode_t type) {
  struct stat file{};
  if (::stat(path.c_str(), &file) != 0) return call_failed(errno, ("stat of " + path).c_str());
  if ((file.st_mode & S_IFMT) != type)
    return fail(ErrorCode::system, "%s is not used: it is no %s", path.c_str(),
                type == S_IFDIR ? "folder" : "regular file");
  if (!is_trusted(file.st_uid))
    return fail(ErrorCode::system,
                "%s is not used: it belongs to user %u, who is neither root nor the owner of %s; "
                "change its owner (chown)",
                path.c_str(), file.st_uid, own_path.data());
  if (others_may_write(file))
    return fail(ErrorCode::system,
                "%s is not used: its mode %o lets others write it; take that right away "
                "(chmod go-w)",
                path.c_str(), file.st_mode & 07777U);
  return {};
}

}  // namespace

Result<std::string> own_file() {
  if (own_path[0] != 0) return std::string(own_path.data());
  return fail(ErrorCode::system,
              "the file that holds this code is not known: /proc is not mounted, or the file was "
              "moved while it was loaded");
}

Result<void> check_companion(const std::string& path) {
  if (path.empty() || path.front() != '/')
    return fail(ErrorCode::system, "'%s' is no absolute path", path.c_str());
  SLUICE_TRY(check_one(path, S_IFREG));
  const std::string folder = folder_of(path);
  SLUICE_TRY(check_one(folder, S_IFDIR));
  return check_one(folder_of(folder), S_IFDIR);
}

}  // namespace sluice::os
