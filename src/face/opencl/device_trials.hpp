// DeviceTrials: results of trials of a driver's behaviour, once for each device and process.
#pragma once

#include <map>

#include "base/ranked_mutex.hpp"
#include "device/opencl/driver.hpp"

namespace sluice::opencl {

template <typename Found>
class DeviceTrials {
 public:
  // Thread-safe, and the trial runs without the lock: two threads that ask at once may both try,
  // and the first result stays.
  [[nodiscard]] Found ask(cl_device_id device, Found (*trial)(cl_device_id)) {
    {
      MutexLock lock(mutex_);
      if (const auto found = found_.find(device); found != found_.end()) return found->second;
    }
    const Found made = trial(device);
    MutexLock lock(mutex_);
    return found_.emplace(device, made).first->second;
  }

 private:
  RankedMutex mutex_{LockRank::objects, "opencl trials"};
  std::map<cl_device_id, Found> found_ SLUICE_GUARDED_BY(mutex_);
};

}  // namespace sluice::opencl
