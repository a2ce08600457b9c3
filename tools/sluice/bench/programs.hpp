// Whole programs for `sluice bench cuda`, each written once over a ProgramMemory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <future>
#include <memory>
#include <thread>
#include <vector>

#include "bench/program_memory.hpp"

namespace sluice::tool::bench {

// A program allocates when it is made. Memory and card must outlive it.
class Program {
 public:
  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  virtual ~Program() = default;
  // Set-up on the host, the GPU's work, and the check on the host, which throws CannotRun. Again
  // and again.
  virtual void run() = 0;
};

// The image of bench/programs.cu on a card.
class ProgramKernels {
 public:
  explicit ProgramKernels(Card& card);
  [[nodiscard]] device::cuda::CUfunction operator[](const char* name) const {
    return card_.kernel(module_, name);
  }

 private:
  const Card& card_;
  device::cuda::CUmodule module_;
};

// False: this tool was built without nvcc.
[[nodiscard]] bool has_program_kernels() noexcept;

[[nodiscard]] std::unique_ptr<Program> conjugate_gradient(ProgramMemory& memory,
                                                          const ProgramKernels& kernels);
[[nodiscard]] std::unique_ptr<Program> jacobi(ProgramMemory& memory, const ProgramKernels& kernels);
[[nodiscard]] std::unique_ptr<Program> breadth_first(ProgramMemory& memory,
                                                     const ProgramKernels& kernels);

// The number of threads in the host's part of a program.
[[nodiscard]] inline std::size_t host_threads() {
  return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 16);
}

// body(begin, end, part) over equal parts of 0..count, one for each host thread. An exception of
// one of them is rethrown here.
template <typename Body>
void in_parts(std::size_t count, Body&& body) {
  const std::size_t parts = host_threads();
  std::vector<std::future<void>> all;
  all.reserve(parts);
  for (std::size_t part = 0; part < parts; ++part)
    all.push_back(std::async(std::launch::async, [&body, count, part, parts] {
      body(count * part / parts, count * (part + 1) / parts, part);
    }));
  for (std::future<void>& one : all) one.get();
}

// The same numbers on every run and thread.
[[nodiscard]] inline std::uint64_t scattered(std::uint64_t value) noexcept {
  value = (value ^ (value >> 31)) * 0x9e3779b97f4a7c15ULL;
  value = (value ^ (value >> 29)) * 0xbf58476d1ce4e5b9ULL;
  return value ^ (value >> 32);
}

}  // namespace sluice::tool::bench
