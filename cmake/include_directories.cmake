# ROS 2 wheels are built in containers, and some of their exported targets name include directories of those containers
# that no other machine has. CMake refuses such a target when it generates. This drops every include directory of an
# imported target that is neither a generator expression nor an existing directory; on an ordinary ROS installation it
# finds nothing to drop.
function(drop_missing_include_directories)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(directories)
      set(kept "")
      foreach(directory IN LISTS directories)
        if(directory MATCHES "^\\$<" OR IS_DIRECTORY "${directory}")
          list(APPEND kept "${directory}")
        endif()
      endforeach()
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${kept}")
    endif()
  endforeach()
endfunction()

# CMake refuses to export a target whose include directories lie inside the source directory, as numpy's do where the
# virtual environment stands in the checkout. Such a directory is of no use to an importer: keep it for the build only.
function(keep_source_include_directories_for_build target)
  get_target_property(directories ${target} INTERFACE_INCLUDE_DIRECTORIES)
  set(kept "")
  foreach(directory IN LISTS directories)
    string(FIND "${directory}" "${CMAKE_CURRENT_SOURCE_DIR}/" position)
    if(position EQUAL 0)
      set(directory "$<BUILD_INTERFACE:${directory}>")
    endif()
    list(APPEND kept "${directory}")
  endforeach()
  set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${kept}")
endfunction()
