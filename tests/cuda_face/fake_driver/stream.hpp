// Streams with threads of their own, and points in them.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace sluice::fake_cuda {

class Context;
class GpuView;
class Stream;

// Everything that a stream held at one time; nothing without a stream.
struct Point {
  std::shared_ptr<Stream> stream;
  std::uint64_t value = 0;

  [[nodiscard]] bool is_reached() const;
  void wait() const;
};

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  using Work = std::function<void(GpuView&)>;

  // A blocking stream keeps order with the default one.
  static std::shared_ptr<Stream> make(Context& context, bool is_blocking, unsigned flags,
                                      int priority);
  Stream(Context& of, bool blocks, unsigned given_flags, int given_priority)
      : context(of), is_blocking(blocks), flags(given_flags), priority(given_priority) {}

  // Waits while more work is pending than a driver takes.
  void wait_for_room();
  // Never waits.
  void submit(Work work, std::vector<Point> after);
  [[nodiscard]] Point now();
  // No more is submitted; the thread ends after the work that there is.
  void close();

  Context& context;
  const bool is_blocking;
  const unsigned flags;
  const int priority;

 private:
  friend struct Point;
  struct Item {
    Work work;
    std::vector<Point> after;
  };
  static constexpr std::uint64_t most_pending = 1024;

  void run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> items_;
  std::uint64_t submitted_ = 0;
  std::uint64_t completed_ = 0;
  bool closed_ = false;
};

}  // namespace sluice::fake_cuda
