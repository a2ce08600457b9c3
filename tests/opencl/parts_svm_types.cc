// What platforms and devices say of their types of SVM, for every back end.
#include "face/opencl/svm_types.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace sluice::opencl {
namespace {

using namespace unified_svm;  // names of bits

constexpr cl_device_svm_capabilities coarse = CL_DEVICE_SVM_COARSE_GRAIN_BUFFER;
constexpr cl_device_svm_capabilities fine = coarse | CL_DEVICE_SVM_FINE_GRAIN_BUFFER;
constexpr cl_device_svm_capabilities everything =
    fine | CL_DEVICE_SVM_FINE_GRAIN_SYSTEM | CL_DEVICE_SVM_ATOMICS;

constexpr SvmFeatures shares{Backend::pass, fine};
constexpr SvmFeatures shares_all{Backend::pass, everything};
constexpr SvmFeatures over_svm{Backend::svm, coarse};
constexpr SvmFeatures with_addresses{Backend::addresses, 0};
constexpr SvmFeatures with_buffers{Backend::buffers, 0};
constexpr SvmFeatures devices[] = {shares, shares_all, over_svm, with_addresses, with_buffers};
constexpr SvmType types[] = {SvmType::coarse_buffer, SvmType::device,      SvmType::shared,
                             SvmType::host,          SvmType::fine_buffer, SvmType::system};

// The extension's "Set of SVM Capabilities for Common SVM Types", without those that are optional.
Capabilities wanted_by_table(SvmType type) {
  constexpr Capabilities used = device_read | device_write;
  constexpr Capabilities anywhere = device_unassociated | context_access;
  constexpr Capabilities host = host_read | host_write;
  switch (type) {
    case SvmType::coarse_buffer:
      return single_address_space | anywhere | host_map | used | device_atomic_access;
    case SvmType::device:
      return single_address_space | device_owned | used | device_atomic_access | indirect_access;
    case SvmType::shared:
      return single_address_space | host | used | indirect_access;
    case SvmType::host:
      return single_address_space | anywhere | host_owned | host | used | indirect_access;
    case SvmType::fine_buffer:
      return single_address_space | anywhere | host | host_map | used | device_atomic_access |
             concurrent_access;
    case SvmType::system:
      return single_address_space | system_allocated | anywhere | host | host_map | used |
             device_atomic_access | concurrent_access | concurrent_atomic_access | indirect_access;
  }
  return 0;
}

bool includes(Capabilities all, Capabilities some) { return (all & some) == some; }

TEST(SvmTypes, where_memory_is_shared_every_type_is_the_common_one) {
  for (const SvmType type : types)
    EXPECT_TRUE(includes(capabilities(type, shares_all), wanted_by_table(type)))
        << static_cast<int>(type);
}

TEST(SvmTypes, where_pages_move_over_svm_all_but_fine_grain_is_served) {
  for (const SvmType type :
       {SvmType::coarse_buffer, SvmType::device, SvmType::shared, SvmType::host})
    EXPECT_TRUE(includes(capabilities(type, over_svm), wanted_by_table(type)));
  EXPECT_EQ(capabilities(SvmType::fine_buffer, over_svm), 0);
  EXPECT_EQ(capabilities(SvmType::system, over_svm), 0);
  // The driver's own fine grain is not the back end's.
  EXPECT_EQ(capabilities(SvmType::fine_buffer, {Backend::svm, everything}), 0);
}

TEST(SvmTypes, buffers_have_no_single_address_space) {
  for (const SvmType type : types) {
    const Capabilities can = capabilities(type, with_buffers);
    EXPECT_EQ(can & (single_address_space | indirect_access), 0);
  }
  EXPECT_TRUE(includes(capabilities(SvmType::shared, with_buffers),
                       host_read | host_write | device_read | device_write));
}

TEST(SvmTypes, device_addresses_are_pointers_and_nothing_else_is) {
  EXPECT_TRUE(
      includes(capabilities(SvmType::device, with_addresses), wanted_by_table(SvmType::device)));
  for (const SvmType type : {SvmType::coarse_buffer, SvmType::shared, SvmType::host})
    EXPECT_EQ(capabilities(type, with_addresses), capabilities(type, with_buffers));
}

TEST(SvmTypes, only_shared_memory_is_used_at_once) {
  constexpr Capabilities at_once = concurrent_access | concurrent_atomic_access;
  for (const SvmFeatures& device : devices)
    for (const SvmType type : types)
      EXPECT_TRUE(device.backend == Backend::pass || (capabilities(type, device) & at_once) == 0);
  EXPECT_EQ(capabilities(SvmType::shared, shares) & at_once, concurrent_access);
  EXPECT_EQ(capabilities(SvmType::shared, shares_all) & at_once, at_once);
  EXPECT_EQ(shares.atom_size(), 1);
  EXPECT_EQ(over_svm.atom_size(), 0);
  EXPECT_EQ(with_buffers.atom_size(), 0);
}

// The notes of the extension on what excludes what.
TEST(SvmTypes, owners_are_consistent) {
  for (const SvmFeatures& device : devices)
    for (const SvmType type : types) {
      const Capabilities can = capabilities(type, device);
      EXPECT_TRUE((can & device_owned) == 0 || (can & (device_unassociated | host_map)) == 0);
      EXPECT_TRUE((can & host_owned) == 0 ||
                  includes(can, device_unassociated | host_read | host_write));
    }
}

TEST(SvmTypes, a_list_has_the_types_that_a_device_serves) {
  EXPECT_EQ(SvmTypes(std::vector{shares_all}).of_platform().size(), 6);
  EXPECT_EQ(SvmTypes(std::vector{shares}).of_platform().size(), 5);
  EXPECT_EQ(SvmTypes(std::vector{over_svm}).of_platform().size(), 4);
  EXPECT_TRUE(SvmTypes({}).of_platform().empty());
  const SvmTypes with_system(
      std::vector{SvmFeatures{Backend::pass, CL_DEVICE_SVM_FINE_GRAIN_SYSTEM}, with_buffers});
  EXPECT_EQ(with_system.index_of(SvmType::fine_buffer), CL_UINT_MAX);
  EXPECT_EQ(with_system.index_of(SvmType::system), 4);
  EXPECT_EQ(with_system.at(4), SvmType::system);
  EXPECT_EQ(with_system.at(5), std::nullopt);
}

// Of every pair of devices: what the text asks of the lists of a platform and of its devices.
TEST(SvmTypes, a_platform_has_what_its_devices_have_in_common) {
  for (const SvmFeatures& one : devices)
    for (const SvmFeatures& other : devices) {
      const std::vector pair{one, other};
      const SvmTypes both(pair);
      const auto platform = both.of_platform();
      const auto first = both.of_device(one);
      const auto second = both.of_device(other);
      ASSERT_EQ(first.size(), platform.size());
      ASSERT_EQ(second.size(), platform.size());
      for (std::size_t i = 0; i < platform.size(); ++i) {
        const bool served_by_both = first[i] != 0 && second[i] != 0;
        EXPECT_EQ(platform[i], served_by_both ? first[i] & second[i] : first[i] | second[i]);
        EXPECT_NE(platform[i], 0);
      }
    }
}

TEST(SvmTypes, a_device_that_serves_less_than_its_platform_says_0) {
  const SvmTypes types_of_one(std::vector{shares});
  const auto part = types_of_one.of_device(with_buffers);
  ASSERT_EQ(part.size(), 5);
  for (const Capabilities can : part) EXPECT_EQ(can, 0);
}

TEST(SvmTypes, a_suggestion_has_all_that_is_required) {
  for (const SvmFeatures& device : devices) {
    const std::vector one{device};
    const SvmTypes list(one);
    const auto can = list.of_device(device);
    for (int bit = 0; bit < 64; ++bit) {
      const Capabilities required = Capabilities{1} << bit;
      const cl_uint index = list.suggest(required, 0, one);
      const bool possible = std::any_of(
          can.begin(), can.end(), [required](Capabilities type) { return (type & required) != 0; });
      ASSERT_EQ(possible, index != CL_UINT_MAX) << bit;
      EXPECT_TRUE(!possible || (can[index] & required) != 0);
    }
    // Each type is found by its own capabilities, or one with more of them.
    for (const Capabilities all : can) {
      const cl_uint index = list.suggest(all, 0, one);
      ASSERT_LT(index, can.size());
      EXPECT_TRUE(includes(can[index], all));
    }
  }
}

TEST(SvmTypes, the_common_types_are_suggested_for_what_the_table_says_of_them) {
  const std::vector one{shares_all};
  const SvmTypes list(one);
  for (const SvmType type : types)
    EXPECT_EQ(list.suggest(wanted_by_table(type), 0, one), list.index_of(type));
}

TEST(SvmTypes, a_suggestion_heeds_desires_and_every_device) {
  const std::vector both{shares, over_svm};
  const SvmTypes list(both);
  EXPECT_EQ(list.suggest(device_read, host_owned, both), list.index_of(SvmType::host));
  EXPECT_EQ(list.suggest(device_read, host_owned | device_owned | host_map, both),
            list.index_of(SvmType::host));
  EXPECT_EQ(list.suggest(concurrent_access, 0, both), CL_UINT_MAX);
  EXPECT_EQ(list.suggest(concurrent_access, 0, std::vector{shares}),
            list.index_of(SvmType::shared));
}

}  // namespace
}  // namespace sluice::opencl
