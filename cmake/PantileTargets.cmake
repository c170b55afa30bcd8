# Helpers that give every target the same warnings, sanitizers and include root.

function(pt_settings target)
  target_compile_features(${target} PRIVATE c_std_11)
  set_target_properties(${target} PROPERTIES C_STANDARD 11 C_STANDARD_REQUIRED ON C_EXTENSIONS OFF
                                             POSITION_INDEPENDENT_CODE ON)
  target_include_directories(${target} PUBLIC "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>")
  target_compile_definitions(${target} PRIVATE _POSIX_C_SOURCE=200809L _DEFAULT_SOURCE
                                               PANTILE_VERSION="${PROJECT_VERSION}"
                                               $<$<BOOL:${PANTILE_SIMD}>:PANTILE_SIMD=1>)
  # -ffp-contract=off keeps the scalar code's results the same whichever SIMD version runs.
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes
                                           -Wvla -Wpointer-arith -Wwrite-strings -ffp-contract=off
                                           $<$<BOOL:${PANTILE_WERROR}>:-Werror>)
  if(PANTILE_SANITIZE AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # GCC's manual warns of false positives of this warning under sanitizers; the other builds keep it.
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)
  endif()
  if(PANTILE_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${PANTILE_SANITIZE} -fno-omit-frame-pointer
                                             -fno-sanitize-recover=all)
    target_link_options(${target} PUBLIC -fsanitize=${PANTILE_SANITIZE})
  endif()
  if(PANTILE_FUZZ)
    # Coverage feedback from every library and target; the fuzzer's main is linked into fuzz targets alone.
    target_compile_options(${target} PRIVATE -fsanitize=fuzzer-no-link)
    target_link_options(${target} PUBLIC -fsanitize=fuzzer-no-link)
  endif()
  if(PANTILE_COVERAGE)
    target_compile_options(${target} PRIVATE --coverage)
    target_link_options(${target} PUBLIC --coverage)
  endif()
endfunction()

# pt_library(name SOURCES a.c ... [LINK lib ...] [PRIVATE_LINK lib ...])
function(pt_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK;PRIVATE_LINK" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  pt_settings(${name})
  target_link_libraries(${name} PUBLIC ${ARG_LINK} PRIVATE ${ARG_PRIVATE_LINK})
endfunction()

# pt_test(name SOURCES a.c ... [LINK lib ...] [ARGS arg ...] [TIMEOUT s] [LABELS l ...]): a cmocka program run by ctest.
# Tests labelled "threads" are those that CI also builds and runs under ThreadSanitizer.
function(pt_test name)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SOURCES;LINK;ARGS;LABELS" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  pt_settings(test_${name})
  target_link_libraries(test_${name} PRIVATE ${ARG_LINK} PkgConfig::CMOCKA)
  add_test(NAME ${name} COMMAND test_${name} ${ARG_ARGS})
  if("threads" IN_LIST ARG_LABELS)
    add_dependencies(thread_tests test_${name})
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
    ENVIRONMENT "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/lsan.supp;ASAN_OPTIONS=allocator_may_return_null=1;TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp")
endfunction()

if(PANTILE_FUZZ)
  set(PANTILE_FUZZ_SECONDS 30 CACHE STRING "Seconds that ctest gives each fuzz target")
  enable_testing() # for the fuzz targets, when there are no other tests
endif()

# pt_fuzz(name SOURCES a.c ... [LINK lib ...] [CORPUS dir] [DICTIONARY file]): a libFuzzer target, run for
# PANTILE_FUZZ_SECONDS by ctest. What it learns stays in the build folder; CORPUS is only read.
function(pt_fuzz name)
  cmake_parse_arguments(ARG "" "CORPUS;DICTIONARY" "SOURCES;LINK" ${ARGN})
  add_executable(fuzz_${name} ${ARG_SOURCES})
  pt_settings(fuzz_${name})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  target_link_libraries(fuzz_${name} PRIVATE ${ARG_LINK})
  set(work "${CMAKE_CURRENT_BINARY_DIR}/corpus_${name}")
  file(MAKE_DIRECTORY "${work}")
  if(ARG_DICTIONARY)
    set(dictionary "-dict=${ARG_DICTIONARY}")
  endif()
  math(EXPR limit "${PANTILE_FUZZ_SECONDS} + 120")
  add_test(NAME fuzz_${name} COMMAND fuzz_${name} -max_total_time=${PANTILE_FUZZ_SECONDS} -timeout=5
           -rss_limit_mb=2048 -print_final_stats=1 ${dictionary} ${work} ${ARG_CORPUS})
  set_tests_properties(fuzz_${name} PROPERTIES LABELS fuzz TIMEOUT ${limit})
endfunction()
