# External libraries, all through pkg-config. `./start` knows the packages.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson>=2.13)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
# Its headers only: libcurl itself is opened at run time (src/hub).
pkg_check_modules(CURL REQUIRED libcurl>=7.85)
pkg_check_modules(NETTLE REQUIRED IMPORTED_TARGET nettle)
pkg_check_modules(LIBEDIT REQUIRED IMPORTED_TARGET libedit)
pkg_check_modules(MICROHTTPD REQUIRED IMPORTED_TARGET libmicrohttpd>=0.9.75)
pkg_check_modules(GNUTLS REQUIRED IMPORTED_TARGET gnutls)
# Without cmocka the program can be built all the same; ctest then has nothing
# to run, which the test presets take for a failure.
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
if(QUERN_TESTS AND NOT CMOCKA_FOUND)
  message(STATUS "cmocka is not here: tests are left out")
endif()
