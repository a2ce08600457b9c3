// A user's program in C++: opens a space, moves a buffer to a device and reads it back, and asks
// for a scope on a CUDA stream, which a software device refuses. Headers, package and library are
// of one version, and value() throws the whole error. That the device starts and that a
// built-in kernel is found shows that the installed library finds the rest of the installed tree.
#include <cstdio>
#include <cstring>

#include <sluice/sluice.hpp>

namespace {

sluice::Result<int> sum_after_a_move() {
  sluice::SpaceOptions options;
  options.software.count = 1;
  const auto space = sluice::Space::open(options);
  if (!space) return tl::unexpected(space.error());
  const auto numbers = space->buffer<int>(1000);
  if (!numbers) return tl::unexpected(numbers.error());
  for (int& number : *numbers) number = 2;

  const auto queue = space->queue(0);
  if (!queue) return tl::unexpected(queue.error());
  if (const auto fill = queue->kernel("fill"); !fill) return tl::unexpected(fill.error());

  const auto moved = space->prefetch(*numbers, sluice::Location::device(0));
  if (!moved) return tl::unexpected(moved.error());
  if (const auto waited = moved->wait(); !waited) return tl::unexpected(waited.error());

  auto scope = space->on(nullptr).writes(*numbers).begin();
  if (scope) {  // a software device has no streams
    if (!scope->done()) return 1;
    return 0;
  }
  // The exception's type is in the headers alone: what is caught here is what value() threw.
  try {
    scope.value();
    return 0;
  } catch (const tl::bad_expected_access<sluice::Error>& exception) {
    if (std::strstr(exception.what(), scope.error().detail().data()) == nullptr) return 0;
  }

  int sum = 0;
  for (const int number : *numbers) sum += number;
  return sum;
}

}  // namespace

int main() {
  if (SLUICE_VERSION != sluice_version_number() ||
      std::strcmp(SLUICE_VERSION_STRING, PACKAGE_VERSION) != 0) {
    std::printf("headers %s, package %s, library %s\n", SLUICE_VERSION_STRING, PACKAGE_VERSION,
                sluice_version());
    return 1;
  }
  const auto sum = sum_after_a_move();
  if (!sum) {
    std::printf("%s: %s\n", sluice::to_string(sum.error().code()).data(),
                sum.error().detail().data());
    return 1;
  }
  std::puts(*sum == 2000 ? "consumer: PASS" : "consumer: FAIL");
  return *sum == 2000 ? 0 : 1;
}
