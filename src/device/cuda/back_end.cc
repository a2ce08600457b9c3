// NVIDIA GPUs as devices of a space: their options, and how they are opened.
//
// GPUs keep the addresses of device memory for themselves, so host ranges get a part of the window
// of their own. What it does not do: look whether a GPU exists, which opening its device does.
#include "device/back_end.hpp"

#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "device/cuda/cuda_device.hpp"
#include "device/option_text.hpp"

namespace sluice::device::cuda {
namespace {

constexpr std::size_t most_memory = std::size_t{1} << 47;  // more than any process can address

class Group final : public DeviceGroup {
 public:
  explicit Group(std::vector<CudaOptions> devices) : devices_(std::move(devices)) {
    for (const CudaOptions& each : devices_) gpus_.push_back(each.gpu);
  }

  [[nodiscard]] int count() const noexcept override { return static_cast<int>(devices_.size()); }
  [[nodiscard]] AddressNeeds address_needs() const noexcept override { return {.host_zone = true}; }
  Result<void> prepare() override {
    SLUICE_ASSIGN(held, Contexts::hold(gpus_));
    contexts_.emplace(std::move(held));
    return {};
  }
  Result<std::unique_ptr<Device>> open(int number, const HostMemory& host,
                                       EventSink& sink) override {
    CudaOptions options = devices_[static_cast<std::size_t>(number)];
    options.number = number;
    options.peers = gpus_;
    return cuda::open(options, host, sink);
  }

 private:
  const std::vector<CudaOptions> devices_;
  std::vector<int> gpus_;
  std::optional<Contexts> contexts_;
};

BackEnd::Group of_requests(std::span<const DeviceRequest> requests, bool /*limited*/) {
  std::vector<CudaOptions> devices;
  for (const DeviceRequest& request : requests) {
    CudaOptions& options = devices.emplace_back();
    const OptionKey keys[] = {
        number_option("gpu", options.gpu, 0, std::numeric_limits<int>::max()),
        size_option("memory_size", options.memory_size, block_size, 0, most_memory),
    };
    SLUICE_TRY(read_options(devices.size() - 1, request, keys));
  }
  return std::make_unique<Group>(std::move(devices));
}

bool is_used(const SpaceOptions& options) { return options.cuda != CudaDevices{}; }

BackEnd::Group of_field(const SpaceOptions& space, bool /*limited*/) {
  const CudaDevices& wanted = space.cuda;
  if (wanted.gpus.size() > static_cast<std::size_t>(max_devices))
    return fail(ErrorCode::invalid_argument, "cuda.gpus has %zu entries; it may have %d",
                wanted.gpus.size(), max_devices);
  if (wanted.gpus.empty()) return nullptr;
  std::vector<CudaOptions> devices;
  for (const int gpu : wanted.gpus) {
    CudaOptions& options = devices.emplace_back();
    options.gpu = gpu;
    options.memory_size = wanted.memory_size;
  }
  return std::make_unique<Group>(std::move(devices));
}

constexpr BackEnd::Shorthand shorthand{"cuda", "cuda.gpus empty", is_used, of_field};

}  // namespace

extern const BackEnd back_end;
constexpr BackEnd back_end{"cuda", of_requests, &shorthand};

}  // namespace sluice::device::cuda
