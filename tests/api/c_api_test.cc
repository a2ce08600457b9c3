// The C API: what the C++ tests show, through sluice.h; and what only C has: null handles, wild
// enumerators, structures of other versions, the error that a thread remembers.
#include "sluice.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "sluice/soft_kernels_builtin.h"

namespace {

using testing::Each;
using testing::HasSubstr;

constexpr std::int64_t forever = -1;

std::string hex(const void* address) {
  char text[32];
  std::snprintf(text, sizeof text, "%#lx", reinterpret_cast<unsigned long>(address));
  return text;
}

template <typename T>
T sized() {
  T value;
  std::memset(&value, 0, sizeof value);
  value.size = sizeof value;
  return value;
}

// What a C program can pass for an enumerator.
template <typename T>
T wild(int number) {
  T value;
  static_assert(sizeof value == sizeof number);
  std::memcpy(&value, &number, sizeof value);
  return value;
}

class CApiTest : public testing::Test {
 protected:
  void SetUp() override {
    auto options = sized<sluice_space_options>();
    options.device_count = 2;
    options.device_memory = std::size_t{32} << 20;
    ASSERT_EQ(sluice_space_open(&options, &space), SLUICE_OK) << sluice_last_error();
    ASSERT_EQ(sluice_queue_create(space, 0, &queue), SLUICE_OK);
    words = static_cast<std::uint32_t*>(allocate(size));
  }
  void TearDown() override {
    sluice_queue_destroy(queue);
    sluice_space_close(space);
  }

  void* allocate(std::size_t bytes, sluice_kind kind = SLUICE_KIND_SHARED) const {
    void* base = nullptr;
    EXPECT_EQ(sluice_allocate(space, bytes, kind, SLUICE_PAGES_AUTOMATIC, &base), SLUICE_OK)
        << sluice_last_error();
    return base;
  }
  sluice_kernel kernel(const char* name) const {
    sluice_kernel found{};
    EXPECT_EQ(sluice_kernel_find(space, 0, nullptr, name, &found), SLUICE_OK)
        << sluice_last_error();
    return found;
  }
  // Fills `words`, or sleeps while it may write them.
  template <typename Arguments>
  sluice_status launch(const char* name, const Arguments& arguments, sluice_fence* fence) const {
    const sluice_use use = {words, size, SLUICE_ACCESS_WRITE};
    auto request = sized<struct sluice_launch>();
    request.kernel = kernel(name);
    request.arguments = &arguments;
    request.argument_size = sizeof arguments;
    request.items = count;
    request.uses = &use;
    request.use_count = 1;
    return sluice_launch_submit(queue, &request, fence);
  }
  void fill(std::uint32_t value) const {
    sluice_fence fence;
    ASSERT_EQ(launch("fill", sluice_soft_fill{words, value}, &fence), SLUICE_OK)
        << sluice_last_error();
    ASSERT_EQ(sluice_fence_wait(space, fence, forever, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK);
  }

  static constexpr std::size_t count = 4096;
  static constexpr std::size_t size = count * sizeof(std::uint32_t);
  sluice_space* space = nullptr;
  sluice_queue* queue = nullptr;
  std::uint32_t* words = nullptr;
};

// --- conventions --------------------------------------------------------------------------------

TEST(CApiConventions, statuses_have_names_and_the_version_is_told) {
  EXPECT_STREQ(sluice_status_name(SLUICE_OK), "ok");
  EXPECT_STREQ(sluice_status_name(SLUICE_ERROR_BUSY), "busy");
  EXPECT_STREQ(sluice_status_name(SLUICE_ERROR_SYSTEM), "system error");
  EXPECT_STREQ(sluice_status_name(wild<sluice_status>(99)), "unknown error");
  EXPECT_STREQ(sluice_version(), SLUICE_VERSION_STRING);
  EXPECT_EQ(sluice_version_number(), SLUICE_VERSION);
  static_assert(SLUICE_VERSION < SLUICE_MAKE_VERSION(1, 0, 0));
  static_assert(SLUICE_MAKE_VERSION(0, 99, 99) < SLUICE_MAKE_VERSION(1, 0, 0));
}

TEST(CApiConventions, null_handles_are_refused_or_harmless) {
  EXPECT_EQ(sluice_free(nullptr, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("space"));
  EXPECT_EQ(sluice_space_open(nullptr, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_launch_submit(nullptr, nullptr, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_pool_allocate(nullptr, 1, 1, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_device_count(nullptr), 0);
  EXPECT_EQ(sluice_trace_running(nullptr), 0);
  EXPECT_EQ(sluice_trace_events(nullptr, nullptr, 0), 0U);
  EXPECT_EQ(sluice_fence_done(nullptr, {}), 0);
  EXPECT_EQ(sluice_space_check(nullptr, nullptr, 0), 0U);
  sluice_space_close(nullptr);
  sluice_queue_destroy(nullptr);
  sluice_lease_end(nullptr);
  sluice_pool_destroy(nullptr);
  sluice_pool_free(nullptr, nullptr, 0, 1);
  sluice_trace_stop(nullptr);
}

TEST(CApiConventions, options_are_checked_and_zero_is_the_default) {
  sluice_space* space = nullptr;
  ASSERT_EQ(sluice_space_open(nullptr, &space), SLUICE_OK) << sluice_last_error();
  EXPECT_EQ(sluice_device_count(space), 1);
  sluice_space_close(space);

  auto options = sized<sluice_space_options>();
  options.device_count = 65;
  EXPECT_EQ(sluice_space_open(&options, &space), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("65"));
  options.device_count = 1;
  options.cuda_gpus = 1;
  EXPECT_EQ(sluice_space_open(&options, &space), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("cuda"));
  options.cuda_gpus = 0;
  options.kernel_timeout = -5;
  EXPECT_EQ(sluice_space_open(&options, &space), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("kernel_timeout"));

  options = sized<sluice_space_options>();
  options.device_count = -1;
  options.best_grade = SLUICE_GRADE_NONE;
  options.access_timeout = 1;
  ASSERT_EQ(sluice_space_open(&options, &space), SLUICE_OK) << sluice_last_error();
  EXPECT_EQ(sluice_device_count(space), 0);
  auto status = sized<sluice_space_status>();
  ASSERT_EQ(sluice_space_get_status(space, &status), SLUICE_OK);
  EXPECT_EQ(status.grade, SLUICE_GRADE_NONE);
  EXPECT_STRNE(status.grade_reason, "");
  sluice_space_close(space);
}

TEST_F(CApiTest, structures_of_other_versions) {
  // A program built with an older, shorter structure.
  auto counters = sized<sluice_counters>();
  std::memset(&counters, 0x55, sizeof counters);
  counters.size = offsetof(sluice_counters, gpu_faults);
  ASSERT_EQ(sluice_space_get_counters(space, &counters), SLUICE_OK);
  EXPECT_EQ(counters.size, offsetof(sluice_counters, gpu_faults));
  EXPECT_EQ(counters.gpu_faults, 0x5555555555555555U);

  // A program built with a newer, longer one: fine as long as it does not use what is new.
  struct {
    struct sluice_launch launch;
    std::uint64_t newer;
  } request{};
  request.launch.size = sizeof request;
  request.launch.kernel = kernel("nothing");
  EXPECT_EQ(sluice_launch_submit(queue, &request.launch, nullptr), SLUICE_OK)
      << sluice_last_error();
  request.newer = 1;
  EXPECT_EQ(sluice_launch_submit(queue, &request.launch, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("struct sluice_launch"));

  counters.size = 0;
  EXPECT_EQ(sluice_space_get_counters(space, &counters), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("struct sluice_counters"));
  EXPECT_EQ(sluice_space_get_counters(space, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_launch_submit(queue, nullptr, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
}

TEST_F(CApiTest, each_thread_has_its_own_error) {
  EXPECT_EQ(sluice_free(space, words + 1), SLUICE_ERROR_UNKNOWN_ADDRESS);
  const std::string mine = sluice_last_error();
  EXPECT_THAT(mine, HasSubstr(hex(words + 1)));
  std::thread([this] {
    EXPECT_STREQ(sluice_last_error(), "");
    EXPECT_EQ(sluice_queue_create(space, 77, &queue), SLUICE_ERROR_UNKNOWN_DEVICE);
    EXPECT_THAT(sluice_last_error(), HasSubstr("77"));
  }).join();
  EXPECT_EQ(mine, sluice_last_error());
}

TEST_F(CApiTest, handles_outlive_their_space) {
  sluice_pool* pool = nullptr;
  ASSERT_EQ(sluice_pool_create(space, SLUICE_KIND_SHARED, &pool), SLUICE_OK);
  sluice_lease* lease = nullptr;
  ASSERT_EQ(sluice_lease_begin(space, words, size, 1, SLUICE_ACCESS_READ, &lease), SLUICE_OK)
      << sluice_last_error();
  sluice_space_close(space);
  space = nullptr;
  auto request = sized<struct sluice_launch>();
  EXPECT_EQ(sluice_launch_submit(queue, &request, nullptr), SLUICE_ERROR_UNKNOWN_KERNEL);
  void* piece = nullptr;
  EXPECT_EQ(sluice_pool_allocate(pool, 100, 8, &piece), SLUICE_OK);
  std::memset(piece, 1, 100);
  sluice_pool_destroy(pool);
  sluice_lease_end(lease);
}

// --- ranges -------------------------------------------------------------------------------------

TEST_F(CApiTest, allocation_and_its_errors) {
  void* base = &base;
  const auto allocate_as = [&](std::size_t bytes, int kind, int pages) {
    return sluice_allocate(space, bytes, wild<sluice_kind>(kind), wild<sluice_host_pages>(pages),
                           &base);
  };
  EXPECT_EQ(allocate_as(0, SLUICE_KIND_SHARED, 0), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(allocate_as(SIZE_MAX, SLUICE_KIND_HOST, 0), SLUICE_ERROR_OUT_OF_HOST_MEMORY);
  EXPECT_EQ(allocate_as(8, SLUICE_KIND_DEVICE, 0), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(allocate_as(8, 7, 0), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("kind 7"));
  EXPECT_EQ(allocate_as(8, SLUICE_KIND_SHARED, 9), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("pages 9"));
  EXPECT_EQ(sluice_allocate_on_device(space, 2, 8, &base), SLUICE_ERROR_UNKNOWN_DEVICE);
  EXPECT_EQ(sluice_allocate(space, 8, SLUICE_KIND_SHARED, SLUICE_PAGES_AUTOMATIC, nullptr),
            SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(base, &base);  // untouched by all of them

  ASSERT_EQ(sluice_allocate_on_device(space, 1, 4096, &base), SLUICE_OK);
  auto info = sized<sluice_range_info>();
  ASSERT_EQ(sluice_range_of(space, base, &info), SLUICE_OK);
  EXPECT_EQ(info.base, base);
  EXPECT_EQ(info.bytes, 4096U);
  EXPECT_EQ(info.kind, SLUICE_KIND_DEVICE);
  EXPECT_EQ(info.device, 1);
  EXPECT_EQ(sluice_free_if_idle(space, base), SLUICE_OK);
  EXPECT_EQ(sluice_free(space, base), SLUICE_ERROR_UNKNOWN_ADDRESS);
  EXPECT_EQ(sluice_free(space, nullptr), SLUICE_OK);
}

TEST_F(CApiTest, ranges_have_names) {
  auto request = sized<sluice_range_request>();
  request.bytes = 8192;
  request.name = "temperature";
  void* base = nullptr;
  ASSERT_EQ(sluice_allocate_range(space, &request, &base), SLUICE_OK) << sluice_last_error();
  auto info = sized<sluice_range_info>();
  ASSERT_EQ(sluice_range_of(space, base, &info), SLUICE_OK);
  EXPECT_STREQ(info.name, "temperature");
  EXPECT_EQ(info.bytes, 8192U);
  ASSERT_EQ(sluice_range_of(space, words, &info), SLUICE_OK);
  EXPECT_STREQ(info.name, "");
  EXPECT_EQ(sluice_free(space, base), SLUICE_OK);

  request.kind = SLUICE_KIND_DEVICE;
  request.device = 1;
  request.name = nullptr;
  ASSERT_EQ(sluice_allocate_range(space, &request, &base), SLUICE_OK) << sluice_last_error();
  ASSERT_EQ(sluice_range_of(space, base, &info), SLUICE_OK);
  EXPECT_EQ(info.device, 1);
  EXPECT_EQ(sluice_free(space, base), SLUICE_OK);
  request.device = 9;
  EXPECT_EQ(sluice_allocate_range(space, &request, &base), SLUICE_ERROR_UNKNOWN_DEVICE);
  request.kind = wild<sluice_kind>(7);
  EXPECT_EQ(sluice_allocate_range(space, &request, &base), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_allocate_range(space, nullptr, &base), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("struct sluice_range_request: a null pointer"));
  EXPECT_EQ(sluice_allocate_range(space, &request, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  request = sized<sluice_range_request>();
  request.bytes = 1;
  request.reserved = 7;
  EXPECT_EQ(sluice_allocate_range(space, &request, &base), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("`reserved` is 7"));
}

TEST_F(CApiTest, the_status_tells_why_host_memory_has_no_huge_pages) {
  auto options = sized<sluice_space_options>();
  options.host_pages = SLUICE_PAGES_SMALL;
  sluice_space* small = nullptr;
  ASSERT_EQ(sluice_space_open(&options, &small), SLUICE_OK) << sluice_last_error();
  auto status = sized<sluice_space_status>();
  ASSERT_EQ(sluice_space_get_status(small, &status), SLUICE_OK);
  EXPECT_STREQ(status.no_private_tmpfs, "small pages are asked for");
  sluice_space_close(small);
  options.reserved = 1;
  EXPECT_EQ(sluice_space_open(&options, &small), SLUICE_ERROR_INVALID_ARGUMENT);
}

TEST_F(CApiTest, results_and_requests_may_lie_in_managed_memory_on_a_device) {
  struct Everything {
    struct sluice_launch launch;
    sluice_use use;
    sluice_soft_fill arguments;
    sluice_fence fence;
    sluice_kernel kernel;
    char name[8];
    sluice_residency residency;
  };
  auto* all = static_cast<Everything*>(allocate(sizeof(Everything)));
  std::strcpy(all->name, "fill");
  ASSERT_EQ(sluice_kernel_find(space, 0, nullptr, all->name, &all->kernel), SLUICE_OK);
  all->arguments = {words, 6};
  all->use = {words, size, SLUICE_ACCESS_WRITE};
  all->launch = {sizeof all->launch,
                 all->kernel,
                 &all->arguments,
                 sizeof all->arguments,
                 count,
                 &all->use,
                 1,
                 nullptr,
                 0,
                 SLUICE_EVERY_SHARED_NONE};
  const auto away = [&] {
    sluice_fence fence;
    ASSERT_EQ(sluice_prefetch(space, all, sizeof *all, 1, &fence), SLUICE_OK);
    ASSERT_EQ(sluice_fence_wait(space, fence, forever, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK);
  };
  away();
  ASSERT_EQ(sluice_launch_submit(queue, &all->launch, &all->fence), SLUICE_OK)
      << sluice_last_error();
  EXPECT_EQ(sluice_fence_wait(space, all->fence, forever, SLUICE_ON_SIGNAL_KEEP_WAITING),
            SLUICE_OK);
  EXPECT_EQ(words[count - 1], 6U);
  all->residency.size = sizeof all->residency;
  away();
  EXPECT_EQ(sluice_page_residency(space, all, &all->residency), SLUICE_OK);
}

// --- launches and fences ------------------------------------------------------------------------

TEST_F(CApiTest, launches_and_their_errors) {
  fill(3);
  EXPECT_THAT(std::vector<std::uint32_t>(words, words + count), Each(3U));

  sluice_kernel found{};
  EXPECT_EQ(sluice_kernel_find(space, 0, nullptr, "flil", &found), SLUICE_ERROR_UNKNOWN_KERNEL);
  EXPECT_THAT(sluice_last_error(), HasSubstr("flil"));
  EXPECT_EQ(sluice_kernel_find(space, 0, nullptr, nullptr, &found), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_kernel_find(space, 9, nullptr, "fill", &found), SLUICE_ERROR_UNKNOWN_DEVICE);

  auto request = sized<struct sluice_launch>();
  request.kernel = kernel("nothing");
  request.use_count = 1;
  EXPECT_EQ(sluice_launch_submit(queue, &request, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  const sluice_use foreign = {&request, 8, SLUICE_ACCESS_READ};
  request.uses = &foreign;
  EXPECT_EQ(sluice_launch_submit(queue, &request, nullptr), SLUICE_ERROR_UNKNOWN_ADDRESS);
  EXPECT_THAT(sluice_last_error(), HasSubstr(hex(&request)));
  const sluice_use odd = {words, 8, wild<sluice_access>(1 << 20)};
  request.uses = &odd;
  EXPECT_EQ(sluice_launch_submit(queue, &request, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  request.use_count = 0;
  request.after_count = 1;
  EXPECT_EQ(sluice_launch_submit(queue, &request, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  const sluice_fence nowhere = {50, 0, 1};
  request.after = &nowhere;
  EXPECT_EQ(sluice_launch_submit(queue, &request, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("device 50"));
  request.after_count = 0;
  request.argument_size = SIZE_MAX;
  request.arguments = words;
  EXPECT_EQ(sluice_launch_submit(queue, &request, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  request.argument_size = 0;
  request.every_shared_range = wild<sluice_every_shared_range>(3);
  EXPECT_EQ(sluice_launch_submit(queue, &request, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("every_shared_range 3"));
  for (const auto every : {SLUICE_EVERY_SHARED_READ, SLUICE_EVERY_SHARED_WRITE}) {
    request.every_shared_range = every;
    EXPECT_EQ(sluice_launch_submit(queue, &request, nullptr), SLUICE_OK) << sluice_last_error();
  }
  request.every_shared_range = SLUICE_EVERY_SHARED_NONE;
  request.kernel.device = 1;
  EXPECT_EQ(sluice_launch_submit(queue, &request, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("device 1"));
}

// Scopes on streams of GPUs are tested in tests/cuda/scope_test.cc.
TEST_F(CApiTest, scopes_are_refused_where_there_are_no_streams) {
  const sluice_use use = {words, size, SLUICE_ACCESS_WRITE};
  auto request = sized<sluice_scope_request>();
  request.uses = &use;
  request.use_count = 1;
  sluice_scope* scope = nullptr;
  EXPECT_EQ(sluice_scope_begin(space, &request, &scope), SLUICE_ERROR_UNSUPPORTED);
  EXPECT_THAT(sluice_last_error(), HasSubstr("no streams"));
  EXPECT_EQ(scope, nullptr);
  words[0] = 1;  // would wait for ever if the scope held it

  EXPECT_EQ(sluice_scope_begin(space, nullptr, &scope), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_scope_begin(space, &request, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  request.device = 7;
  EXPECT_EQ(sluice_scope_begin(space, &request, &scope), SLUICE_ERROR_UNKNOWN_DEVICE);
  request.every_shared_range = wild<sluice_every_shared_range>(9);
  EXPECT_EQ(sluice_scope_begin(space, &request, &scope), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("every_shared_range 9"));
  request.uses = nullptr;
  EXPECT_EQ(sluice_scope_begin(space, &request, &scope), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_scope_end(nullptr, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_scope_end(reinterpret_cast<sluice_scope*>(queue), nullptr),
            SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("scope"));
}

TEST_F(CApiTest, fences_have_deadlines) {
  const sluice_fence complete{};
  EXPECT_EQ(sluice_fence_done(space, complete), 1);
  EXPECT_EQ(sluice_fence_wait(space, complete, 0, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK);

  sluice_fence fence;
  ASSERT_EQ(launch("sleep", sluice_soft_sleep{100'000'000}, &fence), SLUICE_OK);
  EXPECT_EQ(sluice_fence_done(space, fence), 0);
  EXPECT_EQ(sluice_fence_wait(space, fence, 1'000'000, SLUICE_ON_SIGNAL_KEEP_WAITING),
            SLUICE_ERROR_TIMED_OUT);
  EXPECT_EQ(sluice_synchronize(space, 1'000'000, SLUICE_ON_SIGNAL_KEEP_WAITING),
            SLUICE_ERROR_TIMED_OUT);
  EXPECT_EQ(sluice_free_if_idle(space, words), SLUICE_ERROR_BUSY);
  EXPECT_EQ(sluice_fence_wait(space, fence, 0, wild<sluice_on_signal>(5)),
            SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_synchronize(space, INT64_MAX, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK);
  EXPECT_EQ(sluice_fence_done(space, fence), 1);
  EXPECT_EQ(sluice_fence_failed(space, fence), 0);
  EXPECT_EQ(sluice_fence_wait(space, {99, 0, 1}, 0, SLUICE_ON_SIGNAL_KEEP_WAITING),
            SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_fence_done(space, {99, 0, 1}), 0);

  ASSERT_EQ(launch("store", sluice_soft_store{nullptr, 1, 4}, &fence), SLUICE_OK);
  EXPECT_EQ(sluice_fence_wait(space, fence, forever, SLUICE_ON_SIGNAL_RETURN_INTERRUPTED),
            SLUICE_ERROR_DEVICE_FAULT);
  EXPECT_EQ(sluice_fence_failed(space, fence), 1);
}

// --- hints, data, queries -----------------------------------------------------------------------

TEST_F(CApiTest, hints_data_and_leases) {
  fill(2);
  sluice_fence fence;
  ASSERT_EQ(sluice_prefetch(space, words, size, SLUICE_HOST, &fence), SLUICE_OK);
  EXPECT_EQ(sluice_fence_wait(space, fence, forever, SLUICE_ON_SIGNAL_KEEP_WAITING), SLUICE_OK);
  EXPECT_EQ(sluice_prefetch(space, words, size, 1, nullptr), SLUICE_OK);
  EXPECT_EQ(sluice_prefetch(space, words, size, -7, nullptr), SLUICE_ERROR_UNKNOWN_DEVICE);
  EXPECT_THAT(sluice_last_error(), HasSubstr("-7"));

  ASSERT_EQ(sluice_advise(space, words, size, SLUICE_ADVICE_PREFER, 1), SLUICE_OK);
  ASSERT_EQ(sluice_advise(space, words, size, SLUICE_ADVICE_ACCESSED_BY, 0), SLUICE_OK);
  EXPECT_EQ(sluice_advise(space, words, size, wild<sluice_advice>(6), 0),
            SLUICE_ERROR_INVALID_ARGUMENT);
  auto attributes = sized<sluice_attributes>();
  ASSERT_EQ(sluice_page_attributes(space, words, &attributes), SLUICE_OK);
  EXPECT_EQ(attributes.has_preferred, 1);
  EXPECT_EQ(attributes.preferred, 1);
  EXPECT_EQ(attributes.read_mostly, 0);
  EXPECT_EQ(attributes.accessed_by.devices, 1U);
  EXPECT_EQ(attributes.accessed_by.host, 0);

  sluice_lease* lease = nullptr;
  ASSERT_EQ(sluice_lease_begin(space, words, size, SLUICE_HOST, SLUICE_ACCESS_WRITE, &lease),
            SLUICE_OK)
      << sluice_last_error();
  EXPECT_EQ(sluice_discard(space, words, size), SLUICE_ERROR_BUSY);
  sluice_lease_end(lease);
  EXPECT_EQ(sluice_discard(space, words, size), SLUICE_OK);
  EXPECT_EQ(words[0], 0U);
  const std::vector<std::uint32_t> plain(count, 8);
  EXPECT_EQ(sluice_copy(space, words, plain.data(), size), SLUICE_OK);
  EXPECT_EQ(words[9], 8U);
  EXPECT_EQ(sluice_copy(space, words, plain.data(), SIZE_MAX), SLUICE_ERROR_INVALID_ARGUMENT);
}

TEST_F(CApiTest, queries) {
  fill(1);
  auto residency = sized<sluice_residency>();
  ASSERT_EQ(sluice_page_residency(space, words, &residency), SLUICE_OK);
  EXPECT_EQ(residency.holders.devices, 1U);
  EXPECT_EQ(residency.holders.host, 0);
  EXPECT_EQ(residency.lost, 0);
  auto summary = sized<sluice_residency_summary>();
  ASSERT_EQ(sluice_count_residency(space, words, size, &summary), SLUICE_OK);
  EXPECT_EQ(summary.pages, 4U);
  EXPECT_EQ(summary.device[0], 4U);
  EXPECT_EQ(sluice_page_residency(space, &summary, &residency), SLUICE_ERROR_UNKNOWN_ADDRESS);

  char text[16];
  const std::size_t length = sluice_explain(space, words, text, sizeof text);
  EXPECT_GT(length, sizeof text);
  EXPECT_EQ(std::strlen(text), sizeof text - 1);
  std::string whole(length + 1, '?');
  EXPECT_EQ(sluice_explain(space, words, whole.data(), whole.size()), length);
  EXPECT_THAT(whole, HasSubstr("device 0"));
  EXPECT_EQ(sluice_explain(space, words, nullptr, 0), length);
  EXPECT_EQ(sluice_space_check(space, text, sizeof text), 0U);
  EXPECT_STREQ(text, "");

  auto status = sized<sluice_space_status>();
  ASSERT_EQ(sluice_space_get_status(space, &status), SLUICE_OK);
  EXPECT_EQ(status.ranges, 1U);
  EXPECT_NE(status.host_pages, SLUICE_PAGES_AUTOMATIC);
  auto device = sized<sluice_device_info>();
  ASSERT_EQ(sluice_device_get_info(space, 1, &device), SLUICE_OK);
  EXPECT_EQ(device.memory_size, std::size_t{32} << 20);
  EXPECT_STRNE(device.name, "");
  EXPECT_EQ(device.read_only_mappings, 1);
  EXPECT_EQ(device.native_atomics, 1);
  EXPECT_EQ(status.native_atomics, 1);
  EXPECT_EQ(sluice_device_get_info(space, 2, &device), SLUICE_ERROR_UNKNOWN_DEVICE);
  EXPECT_EQ(sluice_device_reset(space, 2), SLUICE_ERROR_UNKNOWN_DEVICE);
  EXPECT_EQ(sluice_device_plan_faults(space, 0, nullptr), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(sluice_device_plan_faults(space, 0, "make it so"), SLUICE_ERROR_INVALID_ARGUMENT);
}

// --- pools and traces ---------------------------------------------------------------------------

TEST_F(CApiTest, pools) {
  sluice_pool* pool = nullptr;
  EXPECT_EQ(sluice_pool_create(space, SLUICE_KIND_DEVICE, &pool), SLUICE_ERROR_INVALID_ARGUMENT);
  ASSERT_EQ(sluice_pool_create(space, SLUICE_KIND_SHARED, &pool), SLUICE_OK);
  EXPECT_EQ(sluice_pool_held(pool), 0U);
  void* piece = nullptr;
  EXPECT_EQ(sluice_pool_allocate(pool, 100, 3, &piece), SLUICE_ERROR_INVALID_ARGUMENT);
  EXPECT_THAT(sluice_last_error(), HasSubstr("alignment of 3"));
  EXPECT_EQ(sluice_pool_allocate(pool, SIZE_MAX, 8, &piece), SLUICE_ERROR_OUT_OF_HOST_MEMORY);
  ASSERT_EQ(sluice_pool_allocate(pool, 100, 64, &piece), SLUICE_OK);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece) % 64, 0U);
  EXPECT_EQ(sluice_pool_held(pool), std::size_t{2} << 20);
  sluice_pool_free(pool, piece, 100, 64);
  sluice_pool_destroy(pool);
}

TEST_F(CApiTest, traces) {
  EXPECT_EQ(sluice_trace_start(space, SIZE_MAX), SLUICE_ERROR_INVALID_ARGUMENT);
  ASSERT_EQ(sluice_trace_start(space, 0), SLUICE_OK);
  EXPECT_EQ(sluice_trace_running(space), 1);
  words[0] = 1;
  fill(2);
  sluice_trace_stop(space);
  EXPECT_EQ(sluice_trace_running(space), 0);
  EXPECT_EQ(sluice_trace_overwritten(space), 0U);

  const std::size_t recorded = sluice_trace_events(space, nullptr, 0);
  ASSERT_GE(recorded, 3U);
  std::vector<sluice_event> events(recorded);
  EXPECT_EQ(sluice_trace_events(space, events.data(), 1), recorded);
  EXPECT_EQ(events[1].time, 0U);
  EXPECT_EQ(sluice_trace_events(space, events.data(), events.size()), recorded);
  EXPECT_TRUE(std::any_of(events.begin(), events.end(), [](const sluice_event& event) {
    return event.kind == SLUICE_EVENT_MIGRATION && event.from == SLUICE_HOST && event.to == 0 &&
           event.bytes == size;  // a small range comes whole
  }));

  std::string text(sluice_trace_print(space, SLUICE_TRACE_CHROME, nullptr, 0) + 1, '\0');
  EXPECT_EQ(sluice_trace_print(space, SLUICE_TRACE_CHROME, text.data(), text.size()),
            text.size() - 1);
  EXPECT_TRUE(nlohmann::json::accept(text.c_str()));
  EXPECT_EQ(sluice_trace_print(space, wild<sluice_trace_format>(7), nullptr, 0), 0U);
}

}  // namespace
