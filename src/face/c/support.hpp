// Shared by the sources of the C face: handles, statuses, text, and values of both faces.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "face/c/handles.hpp"
#include "face/c/structures.hpp"
#include "face/cpp/inside.hpp"
#include "pool/piece_pool.hpp"
#include "sluice.h"

// The incomplete types of sluice.h.
struct sluice_space {
  static constexpr auto kind = sluice::c::HandleKind::space;
  sluice::Space space;
};
struct sluice_queue {
  static constexpr auto kind = sluice::c::HandleKind::queue;
  sluice::Queue queue;
};
struct sluice_lease {
  static constexpr auto kind = sluice::c::HandleKind::lease;
  sluice::Lease lease;
};
struct sluice_pool {
  static constexpr auto kind = sluice::c::HandleKind::pool;
  explicit sluice_pool(std::unique_ptr<sluice::RangeSource> source) : pieces(std::move(source)) {}
  sluice::PiecePool pieces;
};
struct sluice_mapping {
  static constexpr auto kind = sluice::c::HandleKind::mapping;
  sluice::Mapping mapping;
};
struct sluice_scope {
  static constexpr auto kind = sluice::c::HandleKind::scope;
  sluice::StreamScope scope;
};

namespace sluice::c {

[[nodiscard]] constexpr sluice_status status_of(ErrorCode code) {
  return static_cast<sluice_status>(static_cast<int>(code) + 1);
}
// Remembers the error for sluice_last_error() and returns its status.
[[nodiscard]] sluice_status report(const Error& error) noexcept;
[[nodiscard]] sluice_status report_null(const char* what) noexcept;

// Converts the current exception to an error. Call it in a handler. The library below throws only
// when memory runs out, and for lists longer than memory; anything else is its own bug, which must
// not end the calling program either.
[[nodiscard]] Error thrown() noexcept;

// A call that returns a Result, as a status.
template <typename Call>
[[nodiscard]] sluice_status run(Call&& call) noexcept {
  try {
    const Result<void> result = call();
    return result ? SLUICE_OK : report(result.error());
  } catch (const std::exception&) {
    return report(thrown());
  }
}

// A call that has no status to return: returns `otherwise` when an exception was thrown.
template <typename T, typename Call>
[[nodiscard]] T run_or(T otherwise, Call&& call) noexcept {
  try {
    return call();
  } catch (const std::exception&) {
    static_cast<void>(report(thrown()));
    return otherwise;
  }
}

// Writes a result where the caller wants it.
template <typename T>
void give(T* out, T value) noexcept {
  if (out != nullptr) *out = value;
}

// Runs `call`, a Result<T>, and passes its value to `take` outside the engine: `take` may write to
// managed memory.
template <typename Call, typename Take>
[[nodiscard]] sluice_status run_for(Call&& call, Take&& take) noexcept {
  return run([&]() -> Result<void> {
    auto result = call();
    if (!result) return tl::unexpected<Error>(std::move(result).error());
    take(*std::move(result));
    return {};
  });
}

// Enumerators come from a caller that may have passed any number.
template <typename To, typename From>
[[nodiscard]] Result<To> checked(From value, From last, const char* what) noexcept {
  const auto number = static_cast<long>(value);
  if (number < 0 || number > static_cast<long>(last)) {
    return fail(ErrorCode::invalid_argument, "%s %ld: there is none of that number", what, number);
  }
  return static_cast<To>(number);
}

// A query: fills the versioned structure `to` with the call's value as converted by `convert`.
template <typename T, typename Call, typename Convert>
[[nodiscard]] sluice_status query(T* to, const char* what, Call&& call,
                                  Convert&& convert) noexcept {
  return run([&]() -> Result<void> {
    SLUICE_ASSIGN(size, size_of_structure(to, what));
    SLUICE_ASSIGN(value, call());
    write_versioned(to, size, convert(value));
    return {};
  });
}

// Convention 8.
[[nodiscard]] std::size_t write_text(std::string_view text, char* buffer,
                                     std::size_t capacity) noexcept;
template <std::size_t Capacity>
void write_text(std::string_view text, char (&buffer)[Capacity]) noexcept {
  static_cast<void>(write_text(text, buffer, Capacity));
}

[[nodiscard]] Result<Location> location_of(int number) noexcept;
[[nodiscard]] inline int number_of(Location location) noexcept {
  return location.is_host() ? SLUICE_HOST : location.number();
}
[[nodiscard]] sluice_locations locations(const LocationSet& set) noexcept;

// A launch or scope that follows pointers: the access to every shared range, if any.
[[nodiscard]] Result<std::optional<Access>> every_shared(sluice_every_shared_range given) noexcept;

[[nodiscard]] sluice_fence fence(const Fence& fence) noexcept;
//   invalid_argument  a device that the space does not have
[[nodiscard]] Result<Fence> fence(const std::shared_ptr<engine::Engine>& engine,
                                  sluice_fence fence) noexcept;
[[nodiscard]] Fence::Clock::time_point deadline(std::int64_t timeout) noexcept;

// Ends a handle and the object behind it. There is no status: a handle that is not alive is left
// for sluice_last_error().
template <typename T>
void destroy(T* handle) noexcept {
  if (handle == nullptr) return;
  void* object = nullptr;
  if (!handles::end(T::kind, handle, object)) static_cast<void>(report(Held<T>(handle).error()));
  delete static_cast<T*>(object);
}

// The inverse: makes the object that `from` stands for, and a handle for it if the caller wants
// one.
template <typename T, typename From>
[[nodiscard]] Result<T*> own(From&& from) {
  return make_handle(std::unique_ptr<T>(new T{std::forward<From>(from)}));
}

}  // namespace sluice::c

// Returns from a function of the face if a pointer is null.
#define SLUICE_REQUIRE(pointer) \
  if ((pointer) == nullptr) return ::sluice::c::report_null(#pointer)

// Holds the object of a handle as `name` until the function returns; returns at once if there is
// none.
#define SLUICE_HOLD(name, handle)       \
  const ::sluice::c::Held name(handle); \
  if (!(name)) return ::sluice::c::report((name).error())
