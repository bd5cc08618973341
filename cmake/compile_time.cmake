# Two ways to compile the same in less time. The operator in the plain tree is compiled without them, so that a file that does
# not include what it uses is noticed.

# precompile(TARGET HEADER...): these headers are parsed once for all of its files.
# precompiled_as(TARGET OTHER): TARGET is compiled with the same flags as OTHER, and uses what was parsed for it; where the
# flags differ, the compiler refuses (-Winvalid-pch).
function(precompile target)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_precompile_headers(${target} PRIVATE ${ARGN})
  endif()
endfunction()
function(precompiled_as target other)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    target_precompile_headers(${target} REUSE_FROM ${other})
  endif()
endfunction()
set(operator_headers <algorithm> <chrono> <functional> <map> <memory> <optional> <set> <string> <string_view>
    <unordered_map> <variant> <vector> <absl/container/btree_map.h> <absl/container/btree_set.h>
    <absl/container/inlined_vector.h> <nlohmann/json.hpp>)

# Files with names in their unnamed namespaces that others of their folder have as well: compiled alone. Where a build says
# "redefinition" for a unity_*.cxx, either name a thing otherwise or add the file.
set(compiled_alone
    api/scale_request.cc api/task_request.cc runtime/executor.cc runtime/metrics.cc
    api/pod_status_test.cc base/version_test.cc core/alarms_test.cc scheduling/reservations_test.cc)

# compile_together(TARGET SOURCE...): up to seven files of one folder at a time as if they were one, in half the time. For
# what is compiled as a whole; where one file changes at a time, as in the plain tree, it would take longer.
function(compile_together target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  set(folders "")
  foreach(source ${ARGN})
    string(REGEX MATCH "[^/]+/[^/]+$" name ${source})
    string(REGEX MATCH "[^/]+/[^/]+/[^/]+$" longer ${source})
    if(name IN_LIST compiled_alone OR longer IN_LIST compiled_alone)
      continue()
    endif()
    file(RELATIVE_PATH folder ${CMAKE_SOURCE_DIR} ${source})
    get_filename_component(folder ${folder} DIRECTORY)
    string(MAKE_C_IDENTIFIER ${folder} folder)
    list(APPEND folders ${folder})
    list(APPEND in_${folder} ${source})
  endforeach()
  list(REMOVE_DUPLICATES folders)
  foreach(folder ${folders})
    list(LENGTH in_${folder} count)
    math(EXPR groups "(${count} + 6) / 7")
    math(EXPR size "(${count} + ${groups} - 1) / ${groups}")
    set(at 0)
    foreach(source ${in_${folder}})
      math(EXPR group "${at} / ${size}")
      set_source_files_properties(${source} PROPERTIES UNITY_GROUP ${folder}_${group})
      math(EXPR at "${at} + 1")
    endforeach()
  endforeach()
endfunction()
