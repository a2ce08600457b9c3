// Handles: the pointers to incomplete types of sluice.h.
//
// Such a pointer is never dereferenced. It is a number: a slot of a table, the slot's use count,
// and the kind of object. So a handle that was destroyed, is of another kind, or was never given
// out is detected and refused by name; nothing is read or called through it, and it never refers to
// a newer object. An object that is destroyed while another thread is in a call on it lives until
// that call returns. Cost: two atomic operations on the slot for each call, and 16 bytes for each
// handle of the largest number alive at once.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "base/result.hpp"

namespace sluice::c {

enum class HandleKind : std::uint8_t { none, space, queue, lease, pool, mapping, scope };
[[nodiscard]] const char* to_string(HandleKind kind) noexcept;

namespace handles {

// Makes a handle for an object. Null: four million of them are alive.
[[nodiscard]] const void* make(HandleKind kind, void* object) noexcept;
// The object, which lives until let_go(); null if the handle is not a live one of that kind.
[[nodiscard]] void* hold(HandleKind kind, const void* handle) noexcept;
// Ends a hold. Returns the object if its handle was ended meanwhile and this was the last hold: the
// caller deletes it. Otherwise returns null.
[[nodiscard]] void* let_go(const void* handle) noexcept;
// Ends the handle. False: it was not a live one of that kind. `object`: as let_go() returns it.
[[nodiscard]] bool end(HandleKind kind, const void* handle, void*& object) noexcept;

}  // namespace handles

// T has a `static constexpr HandleKind kind`. Holds the object of a handle for the time of a call.
template <typename T>
class Held {
 public:
  explicit Held(const T* handle) noexcept
      : handle_(handle), object_(static_cast<T*>(handles::hold(T::kind, handle))) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    if (object_ != nullptr) delete static_cast<T*>(handles::let_go(handle_));
  }

  explicit operator bool() const noexcept { return object_ != nullptr; }
  [[nodiscard]] T* operator->() const noexcept { return object_; }
  [[nodiscard]] Error error() const noexcept {
    const char* const kind = to_string(T::kind);
    if (handle_ == nullptr) return Error(ErrorCode::invalid_argument, "%s is a null pointer", kind);
    return Error(ErrorCode::invalid_argument,
                 "%s %p is not alive: it was destroyed before, or is no handle of a %s", kind,
                 static_cast<const void*>(handle_), kind);
  }

 private:
  const T* handle_;
  T* object_;
};

// A handle for an object, which it owns from then on.
template <typename T>
[[nodiscard]] Result<T*> make_handle(std::unique_ptr<T> object) noexcept {
  const void* const handle = handles::make(T::kind, object.get());
  if (handle == nullptr)
    return fail(ErrorCode::out_of_host_memory,
                "too many handles are alive: no room for one more %s", to_string(T::kind));
  static_cast<void>(object.release());
  return static_cast<T*>(const_cast<void*>(handle));
}

}  // namespace sluice::c
