# One static library per folder under src/, named qn_<folder>. A test links the
# library of its folder and so the closure of what that folder may use, and is
# not stopped by work in progress elsewhere. libquern is made of all of them.
# The include law itself is held by tools/check-deps.

include(cmake/isa.cmake)
define_property(GLOBAL PROPERTY QN_FOLDER_TARGETS)

# Links `target` to those of the libraries that exist so far.
function(qn_link target scope)
  foreach(lib IN LISTS ARGN)
    if(TARGET ${lib})
      target_link_libraries(${target} ${scope} ${lib})
    endif()
  endforeach()
endfunction()

# qn_folder(<name> FILES <c files> [USES <externals>])
# The folder is skipped while it holds no source.
function(qn_folder name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "FILES;USES")
  if(NOT arg_FILES)
    return()
  endif()
  add_library(qn_${name} STATIC ${arg_FILES})
  target_include_directories(qn_${name} PUBLIC
    ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
  target_compile_definitions(qn_${name} PRIVATE
    QUERN_VERSION="${PROJECT_VERSION}")
  target_link_libraries(qn_${name} PUBLIC ${arg_USES} Threads::Threads m)
  set_property(GLOBAL APPEND PROPERTY QN_FOLDER_TARGETS qn_${name})
endfunction()

# Sets `out` to the folder libraries that the given C files include from.
# The files become configure inputs: a new include re-links by itself.
function(qn_included_folders out)
  set(found)
  foreach(file IN LISTS ARGN)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(STRINGS ${file} lines REGEX "^#include \"[a-z]+/")
    foreach(line IN LISTS lines)
      string(REGEX MATCH "\"([a-z]+)/" _ "${line}")
      list(APPEND found qn_${CMAKE_MATCH_1})
      if(CMAKE_MATCH_1 STREQUAL "backend")
        list(APPEND found qn_backend_cpu)
      endif()
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES found)
  set(${out} ${found} PARENT_SCOPE)
endfunction()
