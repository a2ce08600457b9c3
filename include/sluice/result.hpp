// Result: the return type of every call that can fail. It is a tl::expected with an Error.
//
// value() returns the value, or throws tl::bad_expected_access<Error> if there is none; its what()
// is the whole error (error.hpp). tl::expected<void, E> has no value(), so that Result<void> is
// specialized here: one name ends a program with the reason, whatever the call returns.
#pragma once

#include <exception>
#include <type_traits>
#include <utility>

#include <tl/expected.hpp>

#include "sluice/error.hpp"

namespace sluice {

template <typename T>
using Result = tl::expected<T, Error>;

}  // namespace sluice

// Members are those of tl::expected<void, Error>, and value().
template <>
class tl::expected<void, sluice::Error> {
 public:
  using value_type = void;
  using error_type = sluice::Error;
  using unexpected_type = tl::unexpected<sluice::Error>;

  constexpr expected() noexcept = default;
  // NOLINTBEGIN(google-explicit-constructor): as in tl::expected
  expected(const unexpected_type& why) : state_(why) {}
  template <typename Other>
    requires std::is_constructible_v<sluice::Error, const Other&>
  expected(const tl::unexpected<Other>& why) : state_(tl::unexpect, why.value()) {}
  // NOLINTEND(google-explicit-constructor)
  template <typename... Arguments>
    requires std::is_constructible_v<sluice::Error, Arguments...>
  explicit expected(tl::unexpect_t, Arguments&&... arguments)
      : state_(tl::unexpect, std::forward<Arguments>(arguments)...) {}
  constexpr explicit expected(tl::in_place_t) noexcept {}

  [[nodiscard]] constexpr bool has_value() const noexcept { return state_.has_value(); }
  constexpr explicit operator bool() const noexcept { return has_value(); }

  // Throws the error if there is one.
  void value() const {
    if (has_value()) return;
#ifdef __cpp_exceptions
    throw tl::bad_expected_access<sluice::Error>(error());
#else
    std::terminate();
#endif
  }
  constexpr void operator*() const noexcept {}

  // Only if there is no value.
  [[nodiscard]] const sluice::Error& error() const& { return state_.error(); }
  [[nodiscard]] sluice::Error& error() & { return state_.error(); }
  [[nodiscard]] const sluice::Error&& error() const&& { return std::move(state_).error(); }
  [[nodiscard]] sluice::Error&& error() && { return std::move(state_).error(); }

  void emplace() noexcept { state_ = Nothing{}; }
  void swap(expected& other) noexcept { state_.swap(other.state_); }

  // The result of `next()`, which is an expected, or this error.
  template <typename Next>
  auto and_then(Next&& next) const {
    using Then = std::remove_cvref_t<std::invoke_result_t<Next>>;
    return has_value() ? std::forward<Next>(next)() : Then(tl::unexpect, error());
  }
  // A success with the value that `next()` returns, or this error.
  template <typename Next>
  auto map(Next&& next) const {
    using Then = tl::expected<std::remove_cvref_t<std::invoke_result_t<Next>>, sluice::Error>;
    if (!has_value()) return Then(tl::unexpect, error());
    if constexpr (std::is_void_v<std::invoke_result_t<Next>>) {
      std::forward<Next>(next)();
      return Then();
    } else {
      return Then(std::forward<Next>(next)());
    }
  }
  template <typename Next>
  auto transform(Next&& next) const {
    return map(std::forward<Next>(next));
  }
  // The same with the error changed to `change(error)`.
  template <typename Change>
  auto map_error(Change&& change) const {
    using Changed = std::remove_cvref_t<std::invoke_result_t<Change, sluice::Error>>;
    using Then = tl::expected<void, Changed>;
    return has_value() ? Then()
                       : Then(tl::unexpect, std::forward<Change>(change)(sluice::Error(error())));
  }
  // This if it is a success, else the result of `other(error)`; if that returns nothing, this.
  template <typename Other>
  expected or_else(Other&& other) const {
    if (has_value()) return *this;
    if constexpr (std::is_void_v<std::invoke_result_t<Other, sluice::Error>>) {
      std::forward<Other>(other)(sluice::Error(error()));
      return *this;
    } else {
      return std::forward<Other>(other)(sluice::Error(error()));
    }
  }

 private:
  struct Nothing {};

  tl::expected<Nothing, sluice::Error> state_;
};

namespace sluice {

template <typename... Arguments>
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, const char* format,
                                         Arguments... arguments) noexcept {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  return tl::unexpected<Error>(Error(code, format, arguments...));
#pragma GCC diagnostic pop
}

}  // namespace sluice
