# Toolchain file: Debian's cross compiler for aarch64 (gcc-aarch64-linux-gnu),
# libraries as tools/arm64-libs unpacks them, qemu-user to run the tests.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)

get_filename_component(root ${CMAKE_CURRENT_LIST_DIR}/../build/arm64-root
  ABSOLUTE)
set(libs ${root}/usr/lib/aarch64-linux-gnu)
set(search ${libs}:${root}/lib/aarch64-linux-gnu) # for what libraries need
# Libraries are described there and nowhere else; those that a library needs in
# its turn are found there, too.
set(ENV{PKG_CONFIG_LIBDIR} ${libs}/pkgconfig)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${root})
set(ENV{PKG_CONFIG_ALLOW_SYSTEM_CFLAGS} 1)
set(ENV{PKG_CONFIG_ALLOW_SYSTEM_LIBS} 1)
string(APPEND CMAKE_EXE_LINKER_FLAGS_INIT " -Wl,-rpath-link,${search}")
string(APPEND CMAKE_SHARED_LINKER_FLAGS_INIT " -Wl,-rpath-link,${search}")

find_program(QUERN_QEMU NAMES qemu-aarch64 qemu-aarch64-static)
if(QUERN_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${QUERN_QEMU} -L /usr/aarch64-linux-gnu
    -E LD_LIBRARY_PATH=${search}:/usr/aarch64-linux-gnu/lib)
endif()
