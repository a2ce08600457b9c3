// A stream's thread carries out its work in order. It holds the stream, so a destroyed stream
// lives until its work is done.
#include "cuda_face/fake_driver/stream.hpp"

#include <thread>
#include <utility>

#include "cuda_face/fake_driver/context.hpp"

namespace sluice::fake_cuda {

bool Point::is_reached() const {
  if (stream == nullptr) return true;
  const std::lock_guard lock(stream->mutex_);
  return stream->completed_ >= value;
}

void Point::wait() const {
  if (stream == nullptr) return;
  std::unique_lock lock(stream->mutex_);
  stream->changed_.wait(lock, [this] { return stream->completed_ >= value; });
}

std::shared_ptr<Stream> Stream::make(Context& context, bool is_blocking, unsigned flags,
                                     int priority) {
  auto made = std::make_shared<Stream>(context, is_blocking, flags, priority);
  std::thread([made] { made->run(); }).detach();
  return made;
}

void Stream::wait_for_room() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return submitted_ - completed_ < most_pending; });
}

void Stream::submit(Work work, std::vector<Point> after) {
  const std::lock_guard lock(mutex_);
  items_.push_back({std::move(work), std::move(after)});
  ++submitted_;
  changed_.notify_all();
}

Point Stream::now() {
  const std::lock_guard lock(mutex_);
  return {shared_from_this(), submitted_};
}

void Stream::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

void Stream::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return closed_ || !items_.empty(); });
    if (items_.empty()) return;
    Item item = std::move(items_.front());
    items_.pop_front();
    lock.unlock();
    for (const Point& point : item.after) point.wait();
    context.carry_out(item.work);
    item = {};  // what the work held is let go before anybody is told
    lock.lock();
    ++completed_;
    changed_.notify_all();
  }
}

}  // namespace sluice::fake_cuda
