// Handles, fences and kernels belong to one space and have an end: what is of another space, was
// destroyed or never was one is refused by name. Counts and sizes that no call could mean are
// refused before anything is read.
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "api/api_support.hpp"
#include "sluice.h"

namespace sluice::api_test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// --- C++ -----------------------------------------------------------------------------------------

TEST(Handles, a_kernel_of_another_space_is_refused) {
  const Space first = take(Space::open(with_devices(1)));
  const Space second = take(Space::open(with_devices(1)));
  const auto words = take(second.buffer<std::uint32_t>(1000));
  const Queue in_first = take(first.queue(0));
  const Queue in_second = take(second.queue(0));
  const Kernel fill = take(in_first.kernel("fill"));
  // Without the check, this is what would run: it has the number that `fill` has in the other
  // space.
  const Kernel nothing = take(in_second.kernel("nothing"));
  EXPECT_NE(fill, nothing);
  const auto submit = [&](const Queue& queue, Kernel kernel) {
    return queue.launch(kernel)
        .writes(words)
        .arguments(sluice_soft_fill{words.data(), 9})
        .items(1000)
        .submit();
  };
  EXPECT_THAT(submit(in_second, fill), refuses(ErrorCode::invalid_argument, "another space"));
  EXPECT_EQ(words[0], 0U);
  // Memory of another space is in no live range of this one.
  EXPECT_THAT(submit(in_first, fill), refuses(ErrorCode::unknown_address, hex(words.data())));
}

TEST(Handles, fences_ranges_and_leases_of_another_space_are_refused) {
  const Space first = take(Space::open(with_devices(1)));
  const Space second = take(Space::open(with_devices(1)));
  const auto words = take(first.buffer<std::uint32_t>(1000));
  const Queue queue = take(second.queue(0));
  const Fence fence = take(first.prefetch(words, Location::device(0)));
  EXPECT_THAT(queue.launch(take(queue.kernel("nothing"))).after(fence).submit(),
              refuses(ErrorCode::invalid_argument, "another space"));
  const std::size_t size = 4000;
  const auto is_unknown = refuses(ErrorCode::unknown_address, hex(words.data()));
  EXPECT_THAT(second.lease(words.data(), size, Location::host(), Access::read), is_unknown);
  EXPECT_THAT(second.prefetch(words, Location::host()), is_unknown);
  EXPECT_THAT(second.discard(words.data(), size), is_unknown);
  EXPECT_THAT(second.free(words.data()), is_unknown);
  EXPECT_THAT(second.start_map({{words.data(), size}}, {0}), is_unknown);
  EXPECT_THAT(second.relocate(words.data(), size, Location::host()), is_unknown);
}

TEST(Handles, a_queue_that_was_moved_from_is_refused) {
  const Space space = take(Space::open(with_devices(1)));
  Queue queue = take(space.queue(0));
  const Kernel kernel = take(queue.kernel("nothing"));
  const Queue taken = std::move(queue);
  EXPECT_THAT(queue.launch(kernel).submit(),  // NOLINT(bugprone-use-after-move): that is the test
              refuses(ErrorCode::invalid_argument, "moved"));
  EXPECT_THAT(queue.kernel("nothing"), refuses(ErrorCode::invalid_argument, "moved"));
  EXPECT_TRUE(ok(take(taken.launch(kernel).submit()).wait()));
}

TEST(Handles, a_module_path_without_a_working_directory_is_refused) {
  const Space space = take(Space::open(with_devices(1)));
  std::array<char, 4096> before{};
  ASSERT_NE(::getcwd(before.data(), before.size()), nullptr);
  std::string gone = testing::TempDir() + "/sluice-gone-XXXXXX";
  ASSERT_NE(::mkdtemp(gone.data()), nullptr);
  ASSERT_EQ(::chdir(gone.c_str()), 0);
  ASSERT_EQ(::rmdir(gone.c_str()), 0);
  const auto found = space.kernel(0, "./kernels.so", "hello");
  ASSERT_EQ(::chdir(before.data()), 0);
  EXPECT_THAT(found, refuses(ErrorCode::unknown_kernel, "./kernels.so"));
}

// --- C -------------------------------------------------------------------------------------------

template <typename T>
T sized() {
  T value;
  std::memset(&value, 0, sizeof value);
  value.size = sizeof value;
  return value;
}

sluice_space* open_space() {
  auto options = sized<sluice_space_options>();
  options.device_count = 2;
  options.device_memory = std::size_t{32} << 20;
  sluice_space* space = nullptr;
  EXPECT_EQ(sluice_space_open(&options, &space), SLUICE_OK) << sluice_last_error();
  return space;
}

template <typename T>
T* pointer(std::uintptr_t bits) {
  return reinterpret_cast<T*>(bits);  // NOLINT(performance-no-int-to-ptr)
}

class CHandles : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(space, nullptr);
    ASSERT_NE(other, nullptr);
    ASSERT_EQ(sluice_allocate(space, size, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, &data),
              SLUICE_OK);
    ASSERT_EQ(sluice_queue_create(space, 0, &queue), SLUICE_OK);
    ASSERT_EQ(sluice_kernel_find(space, 0, nullptr, "nothing", &nothing), SLUICE_OK);
  }
  void TearDown() override {
    sluice_queue_destroy(queue);
    sluice_space_close(space);
    sluice_space_close(other);
  }
  [[nodiscard]] sluice_status submit(const sluice_queue* on, const sluice_kernel& kernel,
                                     const sluice_fence* after = nullptr) const {
    auto launch = sized<struct sluice_launch>();
    launch.kernel = kernel;
    launch.after = after;
    launch.after_count = after == nullptr ? 0 : 1;
    return sluice_launch_submit(on, &launch, nullptr);
  }
  static void expect_refused(sluice_status status, const char* word) {
    EXPECT_EQ(status, SLUICE_ERROR_INVALID_ARGUMENT) << sluice_last_error();
    EXPECT_THAT(sluice_last_error(), HasSubstr(word));
  }

  static constexpr std::size_t size = std::size_t{2} << 20;
  sluice_space* space = open_space();
  sluice_space* other = open_space();
  sluice_queue* queue = nullptr;
  sluice_kernel nothing{};
  void* data = nullptr;
};

TEST_F(CHandles, are_refused_once_they_were_destroyed) {
  sluice_queue* second = nullptr;
  ASSERT_EQ(sluice_queue_create(space, 1, &second), SLUICE_OK);
  sluice_queue_destroy(second);
  expect_refused(submit(second, nothing), "queue");
  sluice_queue_destroy(second);  // harmless
  EXPECT_THAT(sluice_last_error(), AllOf(HasSubstr("queue"), HasSubstr("not alive")));

  sluice_lease* lease = nullptr;
  ASSERT_EQ(sluice_lease_begin(space, data, size, SLUICE_HOST, SLUICE_ACCESS_READ, &lease),
            SLUICE_OK);
  sluice_lease_end(lease);
  sluice_lease_end(lease);
  EXPECT_THAT(sluice_last_error(), HasSubstr("lease"));

  sluice_pool* pool = nullptr;
  ASSERT_EQ(sluice_pool_create(space, SLUICE_KIND_SHARED, &pool), SLUICE_OK);
  sluice_pool_destroy(pool);
  void* piece = nullptr;
  expect_refused(sluice_pool_allocate(pool, 8, 8, &piece), "pool");
  EXPECT_EQ(sluice_pool_held(pool), 0U);
  sluice_pool_free(pool, data, 8, 8);

  const sluice_part part = {data, size};
  const std::int32_t device = 0;
  auto request = sized<sluice_mapping_request>();
  request.parts = &part;
  request.part_count = 1;
  request.devices = &device;
  request.device_count = 1;
  sluice_mapping* mapping = nullptr;
  ASSERT_EQ(sluice_map_start(space, &request, -1, &mapping), SLUICE_OK);
  ASSERT_EQ(sluice_mapping_wait(mapping, -1, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK);
  sluice_mapping_destroy(mapping);
  expect_refused(sluice_mapping_wait(mapping, -1, SLUICE_ON_SIGNAL_KEEP_WAITING), "mapping");
  expect_refused(sluice_mapping_resume(mapping, -1), "mapping");

  sluice_space* const third = open_space();
  sluice_space_close(third);
  expect_refused(sluice_free(third, data), "space");
  expect_refused(sluice_synchronize(third, -1, SLUICE_ON_SIGNAL_KEEP_WAITING), "space");
  EXPECT_EQ(sluice_device_count(third), 0);
  sluice_space_close(third);
  // One that takes its place in the library's table has another handle.
  sluice_space* const fourth = open_space();
  EXPECT_NE(fourth, third);
  sluice_space_close(fourth);
}

TEST_F(CHandles, of_one_kind_are_none_of_another_and_numbers_are_none_at_all) {
  expect_refused(sluice_free(reinterpret_cast<sluice_space*>(queue), data), "space");
  expect_refused(submit(reinterpret_cast<sluice_queue*>(space), nothing), "queue");
  const auto bits = reinterpret_cast<std::uintptr_t>(space);
  for (const std::uintptr_t made_up :
       {std::uintptr_t{1}, bits + 1, bits - 1, bits ^ 4096, bits ^ (std::uintptr_t{1} << 40), ~bits,
        std::uintptr_t{1} << 63, reinterpret_cast<std::uintptr_t>(data),
        reinterpret_cast<std::uintptr_t>(&bits), ~std::uintptr_t{0}}) {
    expect_refused(sluice_free(pointer<sluice_space>(made_up), data), "space");
    sluice_space_close(pointer<sluice_space>(made_up));
    sluice_queue_destroy(pointer<sluice_queue>(made_up));
  }
  EXPECT_EQ(sluice_device_count(space), 2);
}

TEST_F(CHandles, live_until_the_call_on_them_returns) {
  // The queue's thread sleeps in the call while another one destroys the queue's handle.
  for (int round = 0; round < 20; ++round) {
    sluice_queue* shared = nullptr;
    ASSERT_EQ(sluice_queue_create(space, 0, &shared), SLUICE_OK) << sluice_last_error();
    std::thread user([&] {
      while (submit(shared, nothing) == SLUICE_OK) {
      }
    });
    sluice_queue_destroy(shared);
    user.join();
    ASSERT_EQ(sluice_synchronize(space, -1, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK);
  }
}

TEST_F(CHandles, kernels_and_fences_of_another_space_are_refused) {
  sluice_kernel foreign{};
  ASSERT_EQ(sluice_kernel_find(other, 0, nullptr, "nothing", &foreign), SLUICE_OK);
  expect_refused(submit(queue, foreign), "another space");
  sluice_kernel forged = nothing;
  forged.id += 7;
  EXPECT_EQ(submit(queue, forged), SLUICE_ERROR_UNKNOWN_KERNEL) << sluice_last_error();
  EXPECT_EQ(submit(queue, {}), SLUICE_ERROR_UNKNOWN_KERNEL);

  sluice_fence fence{};
  ASSERT_EQ(sluice_prefetch(space, data, size, 0, &fence), SLUICE_OK);
  expect_refused(sluice_fence_wait(other, fence, -1, SLUICE_ON_SIGNAL_KEEP_WAITING),
                 "another space");
  EXPECT_EQ(sluice_fence_done(other, fence), 0);
  EXPECT_EQ(sluice_fence_failed(other, fence), 0);
  // One that is still to come.
  sluice_fence early = fence;
  early.value += 1000;
  expect_refused(sluice_fence_wait(space, early, -1, SLUICE_ON_SIGNAL_KEEP_WAITING),
                 "another space");
  expect_refused(submit(queue, nothing, &early), "another space");
  sluice_queue* elsewhere = nullptr;
  ASSERT_EQ(sluice_queue_create(other, 0, &elsewhere), SLUICE_OK);
  expect_refused(submit(elsewhere, foreign, &fence), "another space");
  sluice_queue_destroy(elsewhere);
  EXPECT_EQ(sluice_fence_wait(space, fence, -1, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK);
  expect_refused(sluice_fence_wait(space, {0, 5, 12345}, -1, SLUICE_ON_SIGNAL_KEEP_WAITING),
                 "never gave");
}

TEST_F(CHandles, pieces_are_freed_once_and_as_they_were_allocated) {
  sluice_pool* pool = nullptr;
  ASSERT_EQ(sluice_pool_create(space, SLUICE_KIND_SHARED, &pool), SLUICE_OK);
  for (const std::size_t bytes : {std::size_t{40}, std::size_t{100'000}, std::size_t{3} << 20}) {
    void* piece = nullptr;
    ASSERT_EQ(sluice_pool_allocate(pool, bytes, 8, &piece), SLUICE_OK);
    const std::size_t held = sluice_pool_held(pool);
    const auto refused = [&](void* at, std::size_t with) {
      sluice_pool_free(pool, at, with, 8);
      EXPECT_THAT(sluice_last_error(), HasSubstr("no piece of this pool"));
      EXPECT_EQ(sluice_pool_held(pool), held);
      sluice_free(nullptr, nullptr);  // another error
    };
    refused(static_cast<std::byte*>(piece) + 8, bytes);
    refused(piece, bytes * 4);
    refused(piece, SIZE_MAX);
    refused(&pool, bytes);
    refused(data, bytes);
    sluice_pool_free(pool, piece, bytes, 8);
    sluice_pool_free(pool, piece, bytes, 8);
    EXPECT_THAT(sluice_last_error(), HasSubstr("no piece of this pool"));
  }
  sluice_pool_destroy(pool);
}

// --- counts and sizes ----------------------------------------------------------------------------

TEST_F(CHandles, counts_beyond_any_call_are_refused) {
  const std::int32_t device = 0;
  const sluice_part part = {data, size};
  const sluice_use use = {data, size, SLUICE_ACCESS_WRITE};
  const sluice_fence fence{};
  for (const std::size_t count : {SIZE_MAX, SIZE_MAX / 16, std::size_t{1} << 40}) {
    const std::string number = std::to_string(count);
    void* base = nullptr;
    expect_refused(sluice_allocate_mapped(space, 4096, SLUICE_HOST, &device, count,
                                          SLUICE_ACCESS_WRITE, &base),
                   number.c_str());
    auto request = sized<sluice_mapping_request>();
    request.parts = &part;
    request.part_count = count;
    request.devices = &device;
    request.device_count = 1;
    expect_refused(sluice_map(space, &request, -1, SLUICE_ON_SIGNAL_KEEP_WAITING, nullptr),
                   number.c_str());
    request.part_count = 1;
    request.device_count = count;
    expect_refused(sluice_unmap(space, &request, -1, SLUICE_ON_SIGNAL_KEEP_WAITING, nullptr),
                   number.c_str());
    auto launch = sized<struct sluice_launch>();
    launch.kernel = nothing;
    launch.uses = &use;
    launch.use_count = count;
    expect_refused(sluice_launch_submit(queue, &launch, nullptr), number.c_str());
    launch.use_count = 1;
    launch.after = &fence;
    launch.after_count = count;
    expect_refused(sluice_launch_submit(queue, &launch, nullptr), number.c_str());
    launch.after_count = 0;
    launch.arguments = &device;
    launch.argument_size = count;
    expect_refused(sluice_launch_submit(queue, &launch, nullptr), number.c_str());
    EXPECT_NE(sluice_allocate(space, count, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, &base),
              SLUICE_OK);
    EXPECT_NE(sluice_allocate_on_device(space, 0, count, &base), SLUICE_OK);
    EXPECT_NE(sluice_copy(space, data, &device, count), SLUICE_OK);
    EXPECT_NE(sluice_prefetch(space, data, count, 0, nullptr), SLUICE_OK);
    EXPECT_NE(sluice_discard(space, data, count), SLUICE_OK);
    EXPECT_NE(sluice_trace_start(space, count), SLUICE_OK);
    launch.size = count;
    launch.argument_size = 0;
    expect_refused(sluice_launch_submit(queue, &launch, nullptr), number.c_str());
  }
}

TEST(CHandlesOptions, sizes_beyond_any_machine_are_refused) {
  for (const std::size_t wild : {SIZE_MAX, SIZE_MAX / 2 + 1, SIZE_MAX - 4095}) {
    for (auto member : {&sluice_space_options::address_space, &sluice_space_options::device_memory,
                        &sluice_space_options::size}) {
      auto options = sized<sluice_space_options>();
      options.*member = wild;
      sluice_space* space = nullptr;
      const sluice_status status = sluice_space_open(&options, &space);
      EXPECT_EQ(status, SLUICE_ERROR_INVALID_ARGUMENT) << sluice_last_error();
      if (status == SLUICE_OK) sluice_space_close(space);
    }
  }
  auto options = sized<sluice_space_options>();
  options.handler_threads = INT32_MAX;
  sluice_space* space = nullptr;
  EXPECT_EQ(sluice_space_open(&options, &space), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("handler_threads"));
}

}  // namespace
}  // namespace sluice::api_test
