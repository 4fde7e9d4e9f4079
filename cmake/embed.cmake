# cmake -DFROM=<folder> -DTO=<file.c> -P embed.cmake
#
# Writes the web page as a C table (server/page.h): every file of the folder
# with a type that is known below. An ETag is the beginning of the file's
# SHA-256, so that it changes exactly when the file does.
set(type_html "text/html; charset=utf-8")
set(type_css "text/css; charset=utf-8")
set(type_js "text/javascript; charset=utf-8")
set(type_svg "image/svg+xml")

file(GLOB files ${FROM}/*.html ${FROM}/*.css ${FROM}/*.js ${FROM}/*.svg)
list(SORT files)
set(text "/* Made by cmake/embed.cmake. */\n#include \"server/page.h\"\n")
set(rows)
set(number 0)
foreach(file IN LISTS files)
  get_filename_component(name ${file} NAME)
  string(REGEX REPLACE "^.*\\." "" suffix ${name})
  file(SHA256 ${file} hash)
  string(SUBSTRING ${hash} 0 20 hash)
  file(READ ${file} hex HEX)
  if(hex STREQUAL "")
    message(FATAL_ERROR "${file} is empty")
  endif()
  string(REGEX REPLACE "(................................)" "\\1\n" hex ${hex})
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex ${hex})
  string(APPEND text
    "\nstatic const unsigned char file_${number}[] = {\n${hex}};\n")
  string(APPEND rows "    {\"${name}\", \"${type_${suffix}}\",\n"
    "     \"\\\"${hash}\\\"\", file_${number}, sizeof file_${number}},\n")
  math(EXPR number "${number} + 1")
endforeach()
string(APPEND text "\nconst qn_page_file qn_page_files[] = {\n${rows}};\n"
  "const size_t qn_page_n_files =\n"
  "    sizeof qn_page_files / sizeof *qn_page_files;\n")
file(WRITE ${TO} "${text}")
