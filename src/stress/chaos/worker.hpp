// ChaosWorker: one thread of a program under chaos. It works on pieces of its own, as Worker does,
// but here devices die: launches fail, and bytes are lost. It accepts no loss that is not reported,
// none where no device ever had the bytes, and no wrong byte.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "sluice/sluice.hpp"
#include "stress/findings.hpp"
#include "stress/model.hpp"

namespace sluice::stress {

// Whole pages of a range, and their expected bytes. Other workers have pieces of the same blocks.
struct ChaosPiece {
  enum class Use : std::uint8_t {
    anywhere,   // of a shared range
    in_place,   // of a host range: devices work on it where it is
    host_only,  // of a shared range that no device is ever given
  };
  std::byte* data = nullptr;
  std::size_t size = 0;
  Use use = Use::anywhere;
  std::vector<std::byte> shadow{};
  std::vector<Fence> pending{};  // launches that write it
  bool uncertain = false;        // one of them failed, so the bytes are unknown
  std::string history{};         // the last events, for a finding

  void note(std::string_view event);
};

// State about the devices that all threads of the program share.
struct ChaosState {
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> deaths{
      0};  // devices that were killed, or hung; counted before it happens
  std::atomic<std::uint64_t> failed{0};   // launches that failed
  std::atomic<std::uint64_t> lost{0};     // bytes that were reported as lost
  std::atomic<std::uint64_t> checked{0};  // bytes compared
};

class ChaosWorker {
 public:
  ChaosWorker(const Space& space, std::uint64_t seed, std::vector<ChaosPiece> pieces,
              ChaosState& state, Progress& progress, Findings& findings);
  ChaosWorker(const ChaosWorker&) = delete;
  ChaosWorker& operator=(const ChaosWorker&) = delete;

  // Runs until told to stop.
  void run();
  // Compares every byte. The devices must be there again.
  void check_all();

 private:
  struct Operation;
  struct Device {
    Queue queue;
    bool recoverable;
    Kernel mix;
    Kernel copy;
  };
  static std::vector<Operation> operations();

  // Operations
  void host_store();
  void host_check();
  void launch_mix();
  void launch_copy();
  void prefetch();
  void advise();
  void lease();
  void discard();
  void copy_out();
  void copy_in();
  void through_a_pipe();
  void map();
  void own_range();
  void ask();

  // Choices
  [[nodiscard]] ChaosPiece& any_piece() { return pieces_[random_.below(pieces_.size())]; }
  [[nodiscard]] ChaosPiece& any_piece_for_devices();
  [[nodiscard]] Device& any_device() { return devices_[random_.below(devices_.size())]; }
  [[nodiscard]] Location any_location();

  // Waits for its launches; if one failed, the bytes become zeros.
  void finish(ChaosPiece& piece);
  void give_up_bytes(ChaosPiece& piece);
  void check(ChaosPiece& piece);
  // `loaded`: these bytes of the piece are in scratch_; else the access to them raised SIGSEGV.
  void judge(ChaosPiece& piece, std::size_t offset, std::size_t size, bool loaded);
  void compare(ChaosPiece& piece, std::size_t offset, const std::byte* got, std::size_t size);
  // An access raised SIGSEGV, or a call returned data_lost.
  void expect_reported(ChaosPiece& piece, const char* what);
  void submitted(ChaosPiece& piece, const Device& device, const Fence& fence);

  // True if the call succeeded. An error that chaos does not explain is a finding.
  template <typename T>
  bool went(const char* call, const Result<T>& result, ChaosPiece* piece = nullptr) {
    if (!result.has_value()) return refused(call, result.error(), piece);
    if (piece != nullptr) piece->note(call);
    return true;
  }
  bool refused(const char* call, const Error& error, ChaosPiece* piece);
  [[nodiscard]] Result<Device> open_device(int number) const;
  void renew(Device& device);
  [[nodiscard]] std::string context() const;
  void show(const ChaosPiece& piece);

  Space space_;
  std::uint64_t seed_;
  Random random_;
  std::vector<ChaosPiece> pieces_;
  ChaosState& state_;
  Progress& progress_;
  Findings& findings_;
  std::vector<Device> devices_;
  std::vector<std::byte> scratch_;
  const char* doing_ = "starting";
};

}  // namespace sluice::stress
