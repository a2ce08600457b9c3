# sluice_sources(<variable> <pattern>...): the files that match, looked for again at every build. Several people add files at the
# same time; a list kept by hand would be the one place where all of them collide.
function(sluice_sources variable)
  file(GLOB found CONFIGURE_DEPENDS ${ARGN})
  set(${variable} ${found} PARENT_SCOPE)
endfunction()

# sluice_folders(<variable> <directory>): the names of the folders in a directory.
function(sluice_folders variable directory)
  file(GLOB entries RELATIVE ${directory} CONFIGURE_DEPENDS ${directory}/*)
  set(folders "")
  foreach(entry IN LISTS entries)
    if(IS_DIRECTORY ${directory}/${entry})
      list(APPEND folders ${entry})
    endif()
  endforeach()
  set(${variable} ${folders} PARENT_SCOPE)
endfunction()
