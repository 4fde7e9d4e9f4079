# cmake --install: what exists of program, library, header, models, manual.

if(TARGET quern_shared AND EXISTS ${PROJECT_SOURCE_DIR}/include/quern.h)
  install(TARGETS quern_shared quern_static)
  install(FILES include/quern.h TYPE INCLUDE)
  # Relative to itself, so that an installation can be moved.
  file(RELATIVE_PATH pc_to_prefix
    ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
  install(FILES python/quern.py
    DESTINATION ${CMAKE_INSTALL_DATADIR}/quern/python)
  configure_file(cmake/quern.pc.in ${CMAKE_BINARY_DIR}/quern.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/quern.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()

if(TARGET quern)
  install(TARGETS quern)
  install(DIRECTORY models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/quern/models
    FILES_MATCHING PATTERN "*.gguf")

  # Manual pages and completions come out of the program's own option tables.
  add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/manual.stamp
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_BINARY_DIR}/man
    COMMAND quern --generate-man ${CMAKE_BINARY_DIR}/man
    COMMAND quern --generate-completion bash > ${CMAKE_BINARY_DIR}/quern.bash
    COMMAND quern --generate-completion zsh > ${CMAKE_BINARY_DIR}/_quern
    COMMAND ${CMAKE_COMMAND} -E touch ${CMAKE_BINARY_DIR}/manual.stamp
    DEPENDS quern VERBATIM)
  add_custom_target(manual DEPENDS ${CMAKE_BINARY_DIR}/manual.stamp)
  install(CODE "execute_process(COMMAND \"${CMAKE_COMMAND}\" --build
    \"${CMAKE_BINARY_DIR}\" --target manual COMMAND_ERROR_IS_FATAL ANY)")
  install(DIRECTORY ${CMAKE_BINARY_DIR}/man/
    DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${CMAKE_BINARY_DIR}/quern.bash
    DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
    RENAME quern)
  install(FILES ${CMAKE_BINARY_DIR}/_quern
    DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()
