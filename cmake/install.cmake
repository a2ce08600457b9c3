# What an installed Sluice consists of; tests/house/install_test.py holds the list of files.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp" PATTERN "*.h")
install(TARGETS sluice EXPORT sluice LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET sluice-guard)
  install(TARGETS sluice-guard LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET sluice-opencl)
  install(TARGETS sluice-opencl LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET sluice-cuda)
  install(TARGETS sluice-cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET sluice-kfd)
  install(TARGETS sluice-kfd LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET sluice-soft-device)
  install(TARGETS sluice-soft-device RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/sluice)
endif()
if(TARGET sluice-kernels)
  install(TARGETS sluice-kernels LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/sluice)
endif()
if(TARGET sluice-tool)
  install(TARGETS sluice-tool RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

# find_package(sluice) gives the target sluice::sluice.
set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/sluice)
install(EXPORT sluice NAMESPACE sluice:: FILE sluice-targets.cmake DESTINATION ${package_folder})
configure_package_config_file(cmake/sluice-config.cmake.in ${PROJECT_BINARY_DIR}/sluice-config.cmake
                              INSTALL_DESTINATION ${package_folder})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/sluice-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/sluice-config.cmake ${PROJECT_BINARY_DIR}/sluice-config-version.cmake
        DESTINATION ${package_folder})

# The .pc file finds the prefix from its own place, so an installed tree can be moved.
file(RELATIVE_PATH prefix_from_pkgconfig /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/sluice.pc.in ${PROJECT_BINARY_DIR}/sluice.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/sluice.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
