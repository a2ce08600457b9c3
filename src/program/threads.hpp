// Threads of a program of the house. std::thread throws where there is none left, and ends the
// process when it is destroyed before it was joined; so does a list of them that is only half
// started.
#pragma once

#include <functional>
#include <thread>
#include <vector>

namespace sluice::program {

// CannotRun if the machine or a limit refuses; it names the limits.
[[nodiscard]] std::thread start_thread(std::function<void()> run);

// A number of threads that end together.
class Threads {
 public:
  // `stop` makes all of them end; it is called before they are joined, maybe more than once.
  explicit Threads(std::function<void()> stop) : stop_(std::move(stop)) {}
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;
  ~Threads() { end(); }

  // CannotRun as above; those that run already go on.
  void add(std::function<void()> run);
  // Sends a signal to each; to none once they were told to end.
  void signal(int number) const;
  void end();

 private:
  const std::function<void()> stop_;
  std::vector<std::thread> threads_;
};

}  // namespace sluice::program
