// TraceFile: a space's events, written to a file while they happen, at the request of the
// environment (SLUICE_TRACE=FILE, as `sluice trace` and `sluice run --trace` set it).
//
// The file is a whole document every few milliseconds, so what a process wrote before it was killed
// can be read. Processes that a program starts inherit the request, so several may be asked for the
// same file. None overwrites an existing file: `%p` in FILE is the process id; a second space of a
// process writes to FILE.2; a file that exists already leads to FILE.PID. A name that differs from
// the requested one is reported on stderr.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "observe/chrome.hpp"
#include "observe/observe.hpp"
#include "os/owned_fd.hpp"
#include "os/threads.hpp"

namespace sluice::engine {

// The writing thread asks an engine for this.
struct TraceQuestions {
  std::string grade;
  std::vector<std::string> devices;
  // Sets the bytes that are resident now: the host's first, then each device's.
  std::function<void(std::vector<std::uint64_t>& bytes)> resident;
  std::function<std::uint64_t()> kernels_left_out;
};

class TraceFile {
 public:
  TraceFile() = default;
  TraceFile(const TraceFile&) = delete;
  TraceFile& operator=(const TraceFile&) = delete;
  ~TraceFile() { end(); }

  // Starts recording if the environment names a file, and says if it does. A trace that cannot
  // start is reported on stderr and skipped.
  bool begin(observe::Observer& observer);
  // Opens the file and starts to write. Only if begin() said so.
  void write(TraceQuestions questions);
  // Writes what is left. Called in a forked child, it leaves the parent's file alone.
  void end() noexcept;
  // Has the thread write what there is by now, and waits for that for a second at most.
  void flush() noexcept;

  // Traces of this process that were asked for and could not be written.
  [[nodiscard]] static int failed() noexcept;

 private:
  [[nodiscard]] bool open();
  void run() noexcept;
  void write_new_events();
  [[nodiscard]] observe::TraceFacts facts() const;
  void put(std::string_view text);
  void put_whole(std::string_view events);
  void give_up(const char* why) noexcept;

  observe::Observer* observer_ = nullptr;  // null: no trace
  std::string path_;                       // absolute
  std::string name_;                       // of the file that was opened
  int space_ = 0;                          // of this process; the first is 1
  int process_ = 0;                        // that writes
  TraceQuestions questions_;
  os::Thread thread_;
  std::atomic<std::uint32_t> bell_{0};
  std::atomic<std::uint32_t> asked_{0};    // how often flush() was called
  std::atomic<std::uint32_t> written_{0};  // and how many of these calls were answered
  std::atomic<bool> stopping_{false};

  // The thread's.
  os::OwnedFd file_;
  bool is_regular_ = false;
  bool has_failed_ = false;
  std::optional<observe::ChromeWriter> writer_;
  std::uint64_t at_ = 0;  // where the next event goes, and after it the document's end
  std::uint64_t ticket_ = 0;
  std::uint64_t missed_ = 0;
  std::uint64_t told_missed_ = 0;
  std::uint64_t next_survey_ = 0;
  std::vector<std::uint64_t> resident_;
  std::vector<std::uint64_t> told_resident_;
};

}  // namespace sluice::engine
