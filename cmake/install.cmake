# `cmake --install BUILD --prefix P` writes two components and nothing else. `programs`: the four that are run. `library`: the
# client library as services outside the tree take it: one header, one static archive, find_package(tally) and pkg-config.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
find_package(fmt REQUIRED)
find_package(simdjson REQUIRED)
pkg_check_modules(RDKAFKA REQUIRED IMPORTED_TARGET rdkafka)

# All that the client may reach; the linker takes out of the archive what it does reach. What that needs from
# outside is named three times, and the test of the installation links by each: here, in
# tally-config.cmake.in and in tally-producer.pc.in.
add_library(tally_producer_archive STATIC
  $<TARGET_OBJECTS:tally_core> $<TARGET_OBJECTS:tally_runtime_log> $<TARGET_OBJECTS:tally_runtime_retry>
  $<TARGET_OBJECTS:tally_runtime_kafka> $<TARGET_OBJECTS:tally_producer_spool> $<TARGET_OBJECTS:tally_producer>)
add_library(tally::producer ALIAS tally_producer_archive)
set_target_properties(tally_producer_archive PROPERTIES
  OUTPUT_NAME tally-producer EXPORT_NAME producer LINKER_LANGUAGE CXX)
target_compile_features(tally_producer_archive INTERFACE cxx_std_20)
target_link_libraries(tally_producer_archive
  PRIVATE PkgConfig::RDKAFKA fmt::fmt simdjson::simdjson Threads::Threads)
target_include_directories(tally_producer_archive INTERFACE
  $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
if(TALLY_SANITIZE)
  target_link_options(tally_producer_archive INTERFACE $<BUILD_INTERFACE:-fsanitize=${TALLY_SANITIZE}>)
endif()
# The examples include it in the tree as they do outside.
configure_file(producer/usage_client.h ${PROJECT_BINARY_DIR}/include/tally/usage_client.h COPYONLY)

set(package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/tally)
configure_package_config_file(cmake/tally-config.cmake.in ${PROJECT_BINARY_DIR}/package/tally-config.cmake
  INSTALL_DESTINATION ${package_directory} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/tally-config-version.cmake
  COMPATIBILITY SameMinorVersion)
# Wherever the prefix is moved to.
file(RELATIVE_PATH from_pkgconfig_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(cmake/tally-producer.pc.in ${PROJECT_BINARY_DIR}/package/tally-producer.pc @ONLY)

install(TARGETS tally-producer tally-aggregator tally-exporter tally-admin
  RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
install(TARGETS tally_producer_archive EXPORT tally-targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library)
install(EXPORT tally-targets NAMESPACE tally:: DESTINATION ${package_directory} COMPONENT library)
install(FILES producer/usage_client.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/tally COMPONENT library)
install(FILES ${PROJECT_BINARY_DIR}/package/tally-config.cmake ${PROJECT_BINARY_DIR}/package/tally-config-version.cmake
  DESTINATION ${package_directory} COMPONENT library)
install(FILES ${PROJECT_BINARY_DIR}/package/tally-producer.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT library)
