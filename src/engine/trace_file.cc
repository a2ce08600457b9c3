// Writes one JSON document for Perfetto (https://ui.perfetto.dev). Cost: that of a trace (64 bytes
// and 25 ns an event), and the writing at the end. What it does not do: write anything for a space
// that is never closed.
#include "engine/trace_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <system_error>

#include "observe/print.hpp"
#include "os/environment.hpp"
#include "os/new_descriptors.hpp"
#include "os/owned_fd.hpp"
#include "os/report.hpp"

namespace sluice::engine {
namespace {

constexpr std::size_t capacity = std::size_t{1} << 18;
constexpr int most_names = 1000;
std::atomic<int> last_space{0};
std::atomic<int> failures{0};

// The program may change its working directory before the space closes. Without one, the path is
// left as it is.
std::string absolute(const std::string& path) {
  std::error_code none;
  const std::filesystem::path found = std::filesystem::absolute(path, none);
  return none ? path : found.string();
}

std::string with_process_id(std::string path) {
  const std::string id = std::to_string(getpid());
  for (std::size_t at = 0; (at = path.find("%p", at)) != std::string::npos; at += id.size())
    path.replace(at, 2, id);
  return path;
}

// Returns the names to try, in this order.
std::string name_number(int attempt, const std::string& path, int space) {
  std::string name = path;
  if (attempt > 0) name += "." + std::to_string(getpid());
  if (const int suffix = space + std::max(attempt - 1, 0); suffix > 1)
    name += "." + std::to_string(suffix);
  return name;
}

// Opens a new file, or a non-regular file such as a pipe or a terminal: nothing is overwritten
// there. Closed: errno says why.
os::OwnedFd open_one(const std::string& name) {
  constexpr mode_t readable_by_all = 0644;
  os::OwnedFd file;
  {
    const os::NewDescriptors making;
    file =
        os::OwnedFd(open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, readable_by_all));
  }
  struct stat there{};
  if (!file.is_open() && errno == EEXIST) {
    if (stat(name.c_str(), &there) == 0 && !S_ISREG(there.st_mode))
      file = os::OwnedFd(open(name.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC));
    else
      errno = EEXIST;
  }
  return file;
}

bool write_all(int file, const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = write(file, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    done += static_cast<std::size_t>(count);
  }
  return true;
}

void give_up(const std::string& name) {
  ++failures;
  os::report("the trace could not be written to %s: %s", name.c_str(), strerrordesc_np(errno));
}

}  // namespace

void TraceFile::begin(observe::Observer& observer) {
  const char* const wanted = os::environment("SLUICE_TRACE");
  if (wanted == nullptr || *wanted == 0) return;
  if (const auto started = observer.start(capacity); !started) {
    ++failures;
    os::report("no trace: %s", started.error().detail().data());
    return;
  }
  space_ = ++last_space;
  path_ = absolute(with_process_id(wanted));
}

void TraceFile::end(observe::Observer& observer) noexcept {
  if (path_.empty()) return;
  try {
    const std::string document = observe::print(observer.events(), TraceFormat::chrome);
    std::string name;
    os::OwnedFd file;
    for (int attempt = 0; attempt < most_names && !file.is_open(); ++attempt) {
      name = name_number(attempt, path_, space_);
      file = open_one(name);
      if (!file.is_open() && errno != EEXIST) break;
    }
    if (!file.is_open() || !write_all(file.get(), document)) return give_up(name);
    if (name != path_) os::report("the trace is in %s", name.c_str());
  } catch (const std::exception& error) {
    ++failures;
    os::report("no trace in %s: %s", path_.c_str(), error.what());
  }
}

int TraceFile::failed() noexcept { return failures; }

}  // namespace sluice::engine
