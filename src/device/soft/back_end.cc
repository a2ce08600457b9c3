// Software GPUs as devices of a space: their options, and how they are opened.
//
// Every device is mapped in this process, too, with its memory and a control area, so their
// addresses are kept free. What it does not do: check a fault plan, which the device does that it
// is for.
#include "device/back_end.hpp"

#include <chrono>
#include <utility>
#include <vector>

#include "base/device_set.hpp"
#include "device/option_text.hpp"
#include "device/soft/soft_device.hpp"
#include "os/environment.hpp"

namespace sluice::device::soft {
namespace {

using namespace std::chrono_literals;

// A terabyte: the record of free pages takes 200 MB and two seconds to make then.
constexpr std::size_t most_memory = std::size_t{1} << 40;
constexpr std::size_t beside_memory = std::size_t{16}
                                      << 20;  // a control area, and a thread's stack

class Group final : public DeviceGroup {
 public:
  // `is_list`: they are named in SpaceOptions::devices.
  Group(std::vector<SoftOptions> devices, bool is_list) noexcept
      : devices_(std::move(devices)), is_list_(is_list) {}

  [[nodiscard]] int count() const noexcept override { return static_cast<int>(devices_.size()); }
  [[nodiscard]] AddressNeeds address_needs() const noexcept override {
    AddressNeeds needs;
    for (const SoftOptions& each : devices_) needs.outside += each.memory_size + beside_memory;
    return needs;
  }
  Result<std::unique_ptr<Device>> open(int number, const HostMemory& host,
                                       EventSink& sink) override {
    SoftOptions options = devices_[static_cast<std::size_t>(number)];
    options.number = number;
    // The message of a wrong plan says where the plan comes from.
    std::string source =
        is_list_ ? "devices[" + std::to_string(number) + "]: fault_plan" : "software.fault_plan";
    const char* const variable = os::environment("SLUICE_FAULT_PLAN");
    if (options.fault_plan.empty() && variable != nullptr) {
      options.fault_plan = variable;
      source = "SLUICE_FAULT_PLAN";
    }
    auto opened = soft::open(options, host, sink);
    if (!opened && opened.error().code() == ErrorCode::invalid_argument)
      opened = fail(ErrorCode::invalid_argument, "%s: %s", source.c_str(),
                    opened.error().detail().data());
    return opened;
  }

 private:
  const std::vector<SoftOptions> devices_;
  const bool is_list_;
};

// A device with the defaults of SoftwareDevices.
SoftOptions plain(bool limited) {
  const SoftwareDevices defaults;
  SoftOptions options;
  options.memory_size = defaults.memory_size;
  options.kernel_timeout = defaults.kernel_timeout;
  options.hang_timeout = defaults.transfer_timeout;
  options.limits_launches = limited;
  return options;
}

BackEnd::Group of_requests(std::span<const DeviceRequest> requests, bool limited) {
  std::vector<SoftOptions> devices;
  for (const DeviceRequest& request : requests) {
    SoftOptions& options = devices.emplace_back(plain(limited));
    const OptionKey keys[] = {
        size_option("memory_size", options.memory_size, block_size, block_size, most_memory),
        flag_option("recoverable_faults", options.recoverable_faults),
        time_option("kernel_timeout", options.kernel_timeout, 0ms),
        time_option("transfer_timeout", options.hang_timeout, 1ms),
        text_option("fault_plan", options.fault_plan),
    };
    SLUICE_TRY(read_options(devices.size() - 1, request, keys));
  }
  return std::make_unique<Group>(std::move(devices), true);
}

// None at all is as good as the default: the devices are named elsewhere.
bool is_used(const SpaceOptions& options) {
  SoftwareDevices none = options.software;
  if (none.count == 0) none.count = SoftwareDevices{}.count;
  return none != SoftwareDevices{};
}

BackEnd::Group of_field(const SpaceOptions& space, bool limited) {
  const SoftwareDevices& wanted = space.software;
  if (wanted.count < 0 || wanted.count > max_devices)
    return fail(ErrorCode::invalid_argument, "software.count is %d; it must be 0 to %d",
                wanted.count, max_devices);
  if (wanted.memory_size == 0 || wanted.memory_size % block_size != 0 ||
      wanted.memory_size > most_memory)
    return fail(ErrorCode::invalid_argument,
                "software.memory_size is %zu; it must be a multiple of %zu, not zero, and at most "
                "%zu",
                wanted.memory_size, block_size, most_memory);
  if (wanted.kernel_timeout < 0ms)
    return fail(ErrorCode::invalid_argument,
                "software.kernel_timeout is %lld ms; it must be at least 0, which is no limit",
                static_cast<long long>(wanted.kernel_timeout.count()));
  if (wanted.transfer_timeout < 1ms)
    return fail(ErrorCode::invalid_argument,
                "software.transfer_timeout is %lld ms; it must be at least 1",
                static_cast<long long>(wanted.transfer_timeout.count()));
  if (wanted.count < max_devices && wanted.recoverable_fault_devices >> wanted.count != 0)
    return fail(
        ErrorCode::invalid_argument,
        "software.recoverable_fault_devices is %#llx; it has bits beyond those of the devices, and "
        "software.count is %d",
        static_cast<unsigned long long>(wanted.recoverable_fault_devices), wanted.count);
  if (wanted.count == 0) return nullptr;
  std::vector<SoftOptions> devices;
  for (int number = 0; number < wanted.count; ++number) {
    SoftOptions& options = devices.emplace_back(plain(limited));
    options.memory_size = wanted.memory_size;
    options.recoverable_faults =
        DeviceSet::of_mask(wanted.recoverable_fault_devices).contains(number);
    options.kernel_timeout = wanted.kernel_timeout;
    options.hang_timeout = wanted.transfer_timeout;
    options.fault_plan = wanted.fault_plan;
  }
  return std::make_unique<Group>(std::move(devices), false);
}

constexpr BackEnd::Shorthand shorthand{"software", "software.count = 0", is_used, of_field};

}  // namespace

extern const BackEnd back_end;
constexpr BackEnd back_end{"software", of_requests, &shorthand};

}  // namespace sluice::device::soft
