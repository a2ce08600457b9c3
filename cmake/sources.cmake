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

# sluice_planted(<variable> <target> <source>...): what a target with the planted bugs is made of. Only the sources that contain
# some are compiled again; every other object is the one of <target>.
function(sluice_planted variable target)
  set(parts "")
  set(compiled_again "")
  foreach(source IN LISTS ARGN)
    file(STRINGS ${source} plants REGEX "\"engine/planted.hpp\"|SLUICE_PLANTED_BUGS" LIMIT_COUNT 1)
    if(plants)
      list(APPEND parts ${source})
      # By path: other folders have sources of the same name.
      get_filename_component(absolute ${source} ABSOLUTE)
      file(RELATIVE_PATH path ${CMAKE_CURRENT_SOURCE_DIR} ${absolute})
      list(APPEND compiled_again ${path})
    endif()
  endforeach()
  list(JOIN compiled_again "|" paths)
  set(${variable} ${parts} "$<FILTER:$<TARGET_OBJECTS:${target}>,EXCLUDE,/(${paths})\\.o$>" PARENT_SCOPE)
endfunction()
