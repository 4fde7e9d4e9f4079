# Compiler flags common to every target.
#
# Kernels use intrinsics, and results must not depend on how a compiler chose
# to contract a*b+c: hence -ffp-contract=off and never -ffast-math. One binary
# serves every x86-64: hence no -march here, only per-file flags in isa.cmake.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O3 -g1 -DNDEBUG")
set(CMAKE_C_FLAGS_DEBUG "-O0 -g")
# The build type of the sanitizer presets: asserts stay in. -O1 builds in half
# the time; the CPU backend, where tests spend theirs, gets -O2 (src/).
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g1 -fno-omit-frame-pointer")

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

add_compile_definitions(_GNU_SOURCE)
add_compile_options(
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
  -Wundef -ffp-contract=off -fno-math-errno -ffunction-sections
  -fdata-sections)
add_link_options(-Wl,--gc-sections)
# gcc cannot see that a result read back from memory ("return rt->rc") is
# negative, so it takes every output of a failed call for used; and what it
# finds changes with its version. clang's -Wuninitialized and the sanitizers
# stay on the matter.
add_compile_options($<$<C_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
# Rows of tables name the columns that differ; clang warns where the row of a
# row does so, and where a text in a list is written in pieces.
add_compile_options(
  $<$<C_COMPILER_ID:Clang>:-Wno-missing-field-initializers>
  $<$<C_COMPILER_ID:Clang>:-Wno-string-concatenation>)
# gcc 12 for aarch64 ends in vect_transform_reduction where the largest of values
# is looked for that are converted first, unless fmax is a plain function to it.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$" AND
    CMAKE_C_COMPILER_ID STREQUAL "GNU" AND CMAKE_C_COMPILER_VERSION VERSION_LESS 13)
  add_compile_options(-fno-builtin-fmax -fno-builtin-fmin)
endif()
if(QUERN_WERROR)
  add_compile_options(-Werror)
endif()

if(QUERN_SANITIZE)
  list(JOIN QUERN_SANITIZE "," sanitizers)
  add_compile_options(-fsanitize=${sanitizers} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${sanitizers})
else()
  # Models and requests are hostile input: keep the cheap hardening on.
  add_compile_options(
    -fstack-protector-strong
    $<$<CONFIG:Release>:-U_FORTIFY_SOURCE>
    $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
  add_link_options(-Wl,-z,relro -Wl,-z,now)
endif()

if(QUERN_FUZZ)
  if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "QUERN_FUZZ needs clang: cmake --preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
