# Only for ROS 2 installed from PyPI wheels (not for apt or source installs).
# Given to CMake as CMAKE_PROJECT_INCLUDE; acts after the package's own
# CMakeLists.txt has been read.

# The wheels' message packages export the Python include folder of the machine
# they were built on; CMake stops at an imported target with a folder that is not
# there. Ours exports numpy's, inside .venv; CMake refuses to export a path
# inside the source folder unless it is marked as for the build alone.
function(_ros_wheels_fix_includes)
  get_directory_property(_imported IMPORTED_TARGETS)
  get_directory_property(_own BUILDSYSTEM_TARGETS)
  foreach(_target IN LISTS _imported _own)
    if(NOT _target MATCHES "__rosidl_generator_py$")
      continue()
    endif()
    get_target_property(_dirs "${_target}" INTERFACE_INCLUDE_DIRECTORIES)
    set(_kept "")
    foreach(_dir IN LISTS _dirs)
      if(_dir MATCHES "\\$<")
        list(APPEND _kept "${_dir}")
      elseif(EXISTS "${_dir}")
        list(APPEND _kept "$<BUILD_INTERFACE:${_dir}>")
      endif()
    endforeach()
    set_target_properties("${_target}" PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_kept}")
  endforeach()
endfunction()
cmake_language(DEFER CALL _ros_wheels_fix_includes)
