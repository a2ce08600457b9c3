// One small program over the C interface, with something of everything: for tests that make
// allocations or system calls fail in it.
#pragma once

#include <cstdint>

#include "sluice.h"

namespace sluice::fuzz {

struct Setup {
  sluice_grade grade = SLUICE_GRADE_BEST;
  int devices = 2;           // 2 to 64
  bool recoverable = false;  // the devices have recoverable faults
  bool strict = false;
};

class Scenario {
 public:
  explicit Scenario(const Setup& setup) : setup_(setup) {}
  virtual ~Scenario() = default;
  // Opens, uses, closes. False: a call failed and judge() did not forgive it, or bytes were wrong
  // (stderr has the reason).
  [[nodiscard]] bool run();

 protected:
  // Called for each call that fails; false ends the scenario, and after true the call is made once
  // more.
  [[nodiscard]] virtual bool judge(const char* call, sluice_status status) = 0;
  // Between opening and everything else.
  virtual void opened() {}

  bool wrong_bytes_ = false;

 private:
  [[nodiscard]] bool use();
  [[nodiscard]] bool launch(const char* kernel, const void* arguments, std::size_t size,
                            std::uint32_t* words, std::uint64_t items);
  [[nodiscard]] bool move(std::uint32_t* words, void* on_device);
  [[nodiscard]] bool map(std::uint32_t* words);
  [[nodiscard]] bool relocate();
  [[nodiscard]] bool pool_and_trace();
  [[nodiscard]] bool expect(const std::uint32_t* words, std::uint32_t value);
  void close();

  const Setup setup_;
  sluice_space* space_ = nullptr;
  sluice_queue* queue_ = nullptr;
};

}  // namespace sluice::fuzz
