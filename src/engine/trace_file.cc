// Writes one JSON document for Perfetto (https://ui.perfetto.dev) by a thread of low priority.
//
// Each part is written with the document's end behind it, over the end that the part before it
// wrote. So at any time the file is whole, but for the microsecond in which Linux copies a part of
// less than a page; a process that is killed in just that one leaves a last line that is not.
//
// Cost: that of recording (64 bytes and some 150 ns an event), and 1 us of the thread's for each.
// Looking at which bytes are where takes at most one part in fifty of its time. What it does not
// do: keep events that come faster than it writes; they are counted (`missed`), as are those beyond
// the largest file.
#include "engine/trace_file.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "base/ranked_mutex.hpp"
#include "fault/engine_threads.hpp"
#include "os/access_code.hpp"
#include "os/environment.hpp"
#include "os/futex.hpp"
#include "os/new_descriptors.hpp"
#include "os/report.hpp"
#include "sluice/version.h"

namespace sluice::engine {
namespace {

constexpr std::size_t capacity = std::size_t{1} << 18;
constexpr auto between_writes = std::chrono::milliseconds(20);
constexpr std::uint64_t between_surveys = 50'000'000;  // ns
constexpr std::uint64_t part_for_surveys = 50;
constexpr std::size_t most_in_part = 3500;
constexpr std::uint64_t largest_file = std::uint64_t{4} << 30;
constexpr int low_priority = 10;
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

void give_up_on(const std::string& name, const char* why) {
  ++failures;
  os::report("the trace could not be written to %s: %s", name.c_str(), why);
}

// Traces that have not ended when the process does.
RankedMutex open_traces_mutex{LockRank::spaces, "traces at exit"};
std::vector<TraceFile*> open_traces SLUICE_GUARDED_BY(open_traces_mutex);

void flush_all() {
  const MutexLock lock(open_traces_mutex);
  for (TraceFile* trace : open_traces) trace->flush();
}

std::string thread_name(std::int32_t thread) {
  std::ifstream file("/proc/self/task/" + std::to_string(thread) + "/comm");
  std::string name;
  std::getline(file, name);
  return name.empty() ? "thread" : name;
}

}  // namespace

bool TraceFile::begin(observe::Observer& observer) {
  const char* const wanted = os::environment("SLUICE_TRACE");
  if (wanted == nullptr || *wanted == 0) return false;
  if (const auto started = observer.start(capacity); !started) {
    ++failures;
    os::report("no trace: %s", started.error().detail().data());
    return false;
  }
  observer_ = &observer;
  space_ = ++last_space;
  process_ = getpid();
  path_ = absolute(with_process_id(wanted));
  os::note_loaded_code();
  return true;
}

void TraceFile::write(TraceQuestions questions) {
  questions_ = std::move(questions);
  if (open()) {
    auto started = os::Thread::start("sluice-trace", [this] { run(); });
    if (started) {
      thread_ = std::move(*started);
      const MutexLock lock(open_traces_mutex);
      static const int registered = std::atexit(flush_all);
      (void)registered;
      open_traces.push_back(this);
      return;
    }
    give_up_on(path_, started.error().detail().data());
  }
  observer_->stop();
  observer_ = nullptr;
}

void TraceFile::end() noexcept {
  if (observer_ == nullptr) return;
  if (getpid() != process_) {
    thread_.forget();
    return;
  }
  {
    const MutexLock lock(open_traces_mutex);
    std::erase(open_traces, this);
  }
  stopping_ = true;
  bell_.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(bell_);
  thread_.join();
  observer_ = nullptr;
}

void TraceFile::flush() noexcept {
  if (getpid() != process_) return;
  const std::uint32_t wanted = ++asked_;
  bell_.fetch_add(1, std::memory_order_release);
  os::futex_wake_all(bell_);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  for (std::uint32_t seen = written_; seen < wanted && std::chrono::steady_clock::now() < until;
       seen = written_)
    (void)os::futex_wait(written_, seen, until);
}

int TraceFile::failed() noexcept { return failures; }

bool TraceFile::open() {
  for (int attempt = 0; attempt < most_names && !file_.is_open(); ++attempt) {
    name_ = name_number(attempt, path_, space_);
    file_ = open_one(name_);
    if (!file_.is_open() && errno != EEXIST) break;
  }
  if (!file_.is_open()) {
    give_up_on(name_, strerrordesc_np(errno));
    return false;
  }
  struct stat there{};
  is_regular_ = fstat(file_.get(), &there) == 0 && S_ISREG(there.st_mode);
  if (name_ != path_) os::report("the trace is in %s", name_.c_str());
  return true;
}

observe::TraceFacts TraceFile::facts() const {
  observe::TraceFacts facts;
  facts.process = process_;
  facts.program = program_invocation_short_name;
  facts.version = SLUICE_VERSION_STRING;
  facts.grade = questions_.grade;
  facts.devices = questions_.devices;
  facts.describe_thread = thread_name;
  facts.describe_code = os::describe_code;
  return facts;
}

void TraceFile::run() noexcept try {
  fault::mark_engine_thread();
  (void)setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), low_priority);
  writer_.emplace(facts());
  put_whole(writer_->opening());
  while (true) {
    const std::uint32_t heard = bell_.load(std::memory_order_acquire);
    const bool is_last = stopping_;
    const std::uint32_t asked = asked_;
    write_new_events();
    written_ = asked;
    os::futex_wake_all(written_);
    if (is_last) break;
    (void)os::futex_wait(bell_, heard, std::chrono::steady_clock::now() + between_writes);
  }
  if (!is_regular_) put(observe::ChromeWriter::closing);
} catch (const std::exception& error) {
  give_up(error.what());
}

void TraceFile::write_new_events() {
  std::string text;
  writer_->add(observer_->take(ticket_, missed_), text);
  const std::uint64_t now = observe::now();
  if (now >= next_survey_ || stopping_) {
    os::note_loaded_code();
    questions_.resident(resident_);
    if (resident_ != told_resident_) writer_->add_residency(now, resident_, text);
    told_resident_ = resident_;
    const std::uint64_t kernels = questions_.kernels_left_out();
    if (missed_ + kernels != told_missed_) writer_->add_missed(now, missed_, kernels, text);
    told_missed_ = missed_ + kernels;
    const std::uint64_t took = observe::now() - now;
    next_survey_ = now + std::max(between_surveys, part_for_surveys * took);
  }
  if (at_ + text.size() > largest_file) {
    missed_ += static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
    return;
  }
  put(text);
}

// In parts of whole events.
void TraceFile::put(std::string_view text) {
  while (text.size() > most_in_part) {
    const std::size_t end = text.rfind(",\n", most_in_part);
    if (end == 0 || end == std::string_view::npos) break;
    put_whole(text.substr(0, end));
    text.remove_prefix(end);
  }
  if (!text.empty()) put_whole(text);
}

void TraceFile::put_whole(std::string_view events) {
  if (has_failed_) return;
  std::string text(events);
  if (is_regular_) text += observe::ChromeWriter::closing;
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t count = is_regular_
                              ? pwrite(file_.get(), text.data() + done, text.size() - done,
                                       static_cast<off_t>(at_ + done))
                              : ::write(file_.get(), text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return give_up(strerrordesc_np(errno));
    done += static_cast<std::size_t>(count);
  }
  at_ += events.size();
}

void TraceFile::give_up(const char* why) noexcept {
  if (!has_failed_) give_up_on(name_, why);
  has_failed_ = true;
}

}  // namespace sluice::engine
