# SPDX-License-Identifier: MIT
# Every test is found by its name; adding a file is enough.
#   tests/unit/test_<folder>_<what>.c   cmocka, linked with caravan_<folder> and what lies below
#   tests/sim/test_sim_<what>.c         cmocka, the simulated cluster; the other files there are its library
#   tests/fuzz/fuzz_<folder>_<what>.c   libFuzzer entry; corpus in tests/fuzz/corpus/<folder>_<what>/
#   tests/e2e/<what>.test.sh, .test.mjs real processes; exit status 77 means skipped
#   tests/relay/*.c                     the emulated network, for benches and tests
#   tests/support/*.c                   helpers linked with every unit and sim test

option(CARAVAN_FUZZER "Build the fuzz targets with libFuzzer (clang)" OFF)
set(CARAVAN_TEST_ENV "CARAVAN_SOURCE=${CMAKE_SOURCE_DIR}" "CARAVAN_BUILD=${CMAKE_BINARY_DIR}" "CARAVAN_SANITIZE=${CARAVAN_SANITIZE}"
    "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/lsan.supp" "TSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/tsan.supp:halt_on_error=1"
    "UBSAN_OPTIONS=print_stacktrace=1" "ASAN_OPTIONS=detect_odr_violation=0")

# `make test` gives ctest two places a core, and one more. A test takes two places, and these take one: they wait most of the time (for silent
# peers, beats, timers), and used at most about a third of a core when they were measured. With sanitizers they compute more.
set(CARAVAN_WAITING_TESTS
    e2e_bodies_mjs e2e_cache_mjs e2e_carry_mjs e2e_clients_mjs e2e_cloud_mjs e2e_firewall e2e_networks e2e_partition e2e_replan_mjs e2e_stage_drop
    e2e_stage_loss_mjs
)

# The tests that take longest start first, in this order: none of them runs on alone when the others are over.
set(CARAVAN_LONG_TESTS
    e2e_packages_agents e2e_zoo_sequences test_engine_vulkan e2e_page_cluster_mjs clang e2e_replan_mjs e2e_gpu_experts_mjs e2e_networks
    e2e_gpu_mjs e2e_gpu_cards_mjs e2e_agents_mjs e2e_zoo_talks_mjs e2e_takeover_mjs e2e_prefix_disk_mjs e2e_zoo e2e_rounds e2e_pictures_mjs
    e2e_prefix_mjs e2e_cloud_mjs e2e_scaling_mjs e2e_stage_loss_mjs
)

function(caravan_register name label timeout)
    if(CARAVAN_SANITIZE)
        math(EXPR timeout "4 * ${timeout}") # a sanitized program takes several times as long
    elseif(CMAKE_CROSSCOMPILING)
        math(EXPR timeout "6 * ${timeout}") # an emulated one even longer
    endif()
    add_test(NAME ${name} COMMAND ${ARGN} WORKING_DIRECTORY "${CMAKE_BINARY_DIR}")
    set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout} SKIP_RETURN_CODE 77 ENVIRONMENT "${CARAVAN_TEST_ENV}")
    set(places 2)
    if(name IN_LIST CARAVAN_WAITING_TESTS AND NOT CARAVAN_SANITIZE AND NOT CMAKE_CROSSCOMPILING)
        set(places 1)
    endif()
    list(FIND CARAVAN_LONG_TESTS ${name} at)
    if(at GREATER_EQUAL 0)
        math(EXPR cost "1000 - ${at}")
        set_tests_properties(${name} PROPERTIES COST ${cost})
    endif()
    if(name MATCHES "^(test_engine_vulkan|e2e_gpu.*_mjs)$") # they share compiled shaders: what one compiles, the next one need not
        set_tests_properties(${name} PROPERTIES RESOURCE_LOCK vulkan)
    endif()
    set_tests_properties(${name} PROPERTIES PROCESSORS ${places})
    set_property(GLOBAL APPEND PROPERTY CARAVAN_TESTS ${name})
endfunction()

file(GLOB support CONFIGURE_DEPENDS tests/support/*.c)
add_library(caravan_test_support INTERFACE)
if(support)
    add_library(caravan_test_support_objects STATIC ${support})
    target_include_directories(caravan_test_support_objects PUBLIC "${CMAKE_SOURCE_DIR}/tests")
    target_link_libraries(caravan_test_support_objects PUBLIC caravan_base caravan_lib_cmocka)
    target_link_libraries(caravan_test_support INTERFACE caravan_test_support_objects)
endif()
target_link_libraries(caravan_test_support INTERFACE caravan_lib_cmocka caravan_relay)
target_include_directories(caravan_test_support INTERFACE "${CMAKE_SOURCE_DIR}/tests")

# Links a test with the rooms that it includes headers of, besides its own: the judge of a lower room may stand higher.
function(caravan_link_included name source)
    file(STRINGS "${source}" includes REGEX "^#include \"[a-z]+/")
    foreach(line IN LISTS includes)
        string(REGEX REPLACE "^#include \"([a-z]+)/.*$" "\\1" room "${line}")
        if(line MATCHES "support/(engine|grammar)_fixture")
            set(room engine)
        elseif(line MATCHES "support/node_fixture")
            set(room node)
        endif()
        if(TARGET caravan_${room} AND NOT room STREQUAL "relay" AND NOT room STREQUAL "sim")
            target_link_libraries(${name} PRIVATE caravan_${room})
        endif()
    endforeach()
endfunction()

file(GLOB unit_tests CONFIGURE_DEPENDS tests/unit/test_*.c)
foreach(source IN LISTS unit_tests)
    get_filename_component(name "${source}" NAME_WE)
    string(REGEX REPLACE "^test_([a-z0-9]+)_.*$" "\\1" folder "${name}")
    if(NOT TARGET caravan_${folder})
        message(FATAL_ERROR "${source}: a unit test is called test_<folder>_<what>.c, and there is no folder src/${folder}")
    endif()
    add_executable(${name} "${source}")
    target_link_libraries(${name} PRIVATE caravan_${folder} caravan_test_support)
    caravan_link_included(${name} "${source}")
    if(name MATCHES "^test_(engine_mtp|stage_guesses)$" AND TARGET make-mtp)
        add_dependencies(${name} make-mtp make-f32)
    endif()
    if(name MATCHES "^test_engine_(carry|slice)$" AND TARGET make-lora)
        add_dependencies(${name} make-lora make-model)
    endif()
    if(name STREQUAL "test_engine_vulkan") # on Mesa's software driver
        caravan_register(${name} unit 900 ${CMAKE_SOURCE_DIR}/tools/test-vulkan.sh "${CMAKE_BINARY_DIR}")
    else()
        caravan_register(${name} unit 300 ${name})
    endif()
endforeach()

file(GLOB sim_tests CONFIGURE_DEPENDS tests/sim/test_sim_*.c)
file(GLOB sim_sources CONFIGURE_DEPENDS tests/sim/*.c)
list(FILTER sim_sources EXCLUDE REGEX "/test_sim_[^/]*$")
add_library(caravan_sim INTERFACE)
if(sim_sources)
    add_library(caravan_sim_objects STATIC ${sim_sources})
    target_link_libraries(caravan_sim_objects PUBLIC caravan_stage caravan_coordinator caravan_requests caravan_test_support)
    target_link_libraries(caravan_sim INTERFACE caravan_sim_objects)
endif()
target_link_libraries(caravan_sim INTERFACE caravan_stage caravan_coordinator caravan_requests caravan_test_support)
foreach(source IN LISTS sim_tests)
    get_filename_component(name "${source}" NAME_WE)
    add_executable(${name} "${source}")
    target_link_libraries(${name} PRIVATE caravan_sim)
    caravan_register(${name} sim 600 ${name})
endforeach()

file(GLOB fuzz_tests CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(source IN LISTS fuzz_tests)
    get_filename_component(name "${source}" NAME_WE)
    string(REGEX REPLACE "^fuzz_([a-z0-9]+)_.*$" "\\1" folder "${name}")
    string(REGEX REPLACE "^fuzz_" "" corpus "${name}")
    add_executable(${name} "${source}")
    target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}/tests")
    target_link_libraries(${name} PRIVATE caravan_${folder})
    caravan_link_included(${name} "${source}")
    if(CARAVAN_FUZZER)
        # The fuzzer's runtime is C++; its library must be the one that libllama has, not the compiler's own.
        target_link_options(${name} PRIVATE -fsanitize=fuzzer -nostdlib++)
        target_link_libraries(${name} PRIVATE -l:libstdc++.so.6)
        set_property(GLOBAL APPEND PROPERTY CARAVAN_FUZZ_TARGETS ${name})
        caravan_register(${name} fuzz 300 ${CMAKE_SOURCE_DIR}/tools/fuzz.sh $<TARGET_FILE:${name}> 5)
    else()
        target_sources(${name} PRIVATE tests/fuzz/standalone.c)
        # Every corpus file, then mutations of them for a few seconds, from a printed seed.
        caravan_register(${name} fuzz 300 ${name} --seconds 2 "${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${corpus}")
    endif()
endforeach()

# Programs that the end-to-end tests run, besides caravan itself: tests/e2e/<name>.c.
file(GLOB e2e_programs CONFIGURE_DEPENDS tests/e2e/*.c)
foreach(source IN LISTS e2e_programs)
    get_filename_component(name "${source}" NAME_WE)
    add_executable(${name} "${source}")
    target_link_libraries(${name} PRIVATE caravan_endpoint caravan_stage)
    target_include_directories(${name} PRIVATE "${CMAKE_SOURCE_DIR}/tests")
endforeach()

# Libraries that tests load into caravan before its own: tests/e2e/preload/<name>.c.
file(GLOB e2e_preloads CONFIGURE_DEPENDS tests/e2e/preload/*.c)
foreach(source IN LISTS e2e_preloads)
    get_filename_component(name "${source}" NAME_WE)
    add_library(${name} MODULE "${source}")
    target_link_libraries(${name} PRIVATE caravan_lib_llama)
    set_target_properties(${name} PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib" PREFIX "")
endforeach()

if(TARGET caravan)
    # Packages of npm, fetched into the build folder before the tests that need them. A registry may be slow; the agents' are over a gigabyte.
    foreach(fixture packages packages_agents packages_browser)
        string(REGEX REPLACE "^packages_?" "" folder "${fixture}")
        caravan_register(e2e_${fixture} e2e 1800 ${CMAKE_SOURCE_DIR}/tests/e2e/run.sh "${CMAKE_SOURCE_DIR}/tests/e2e/lib/packages.mjs" ${folder})
        set_tests_properties(e2e_${fixture} PROPERTIES FIXTURES_SETUP ${fixture})
    endforeach()
    file(GLOB e2e_tests CONFIGURE_DEPENDS tests/e2e/*.test.sh tests/e2e/*.test.mjs)
    foreach(source IN LISTS e2e_tests)
        get_filename_component(file "${source}" NAME)
        string(REGEX REPLACE "\\.test\\.(sh|mjs)$" "" what "${file}")
        string(REGEX REPLACE "^.*\\." "" kind "${file}")
        set(name "e2e_${what}")
        if(kind STREQUAL "mjs")
            set(name "e2e_${what}_mjs")
        endif()
        # A limit against tests that hang: several run at the same time, and most of them wait more than they compute.
        caravan_register(${name} e2e 900 ${CMAKE_SOURCE_DIR}/tests/e2e/run.sh "${source}")
        set_tests_properties(${name} PROPERTIES ENVIRONMENT "${CARAVAN_TEST_ENV};CARAVAN=$<TARGET_FILE:caravan>")
        file(STRINGS "${source}" packages REGEX "from '\\./lib/openai\\.mjs'")
        if(what STREQUAL "agents")
            set_tests_properties(${name} PROPERTIES TIMEOUT 1800 FIXTURES_REQUIRED packages_agents)
        elseif(what STREQUAL "docs")
            set_tests_properties(${name} PROPERTIES TIMEOUT 1800) # one cluster after another
        elseif(kind STREQUAL "mjs" AND what MATCHES "^page(_|$)")
            set_tests_properties(${name} PROPERTIES TIMEOUT 1800 FIXTURES_REQUIRED packages_browser) # many browser windows, one after another
        elseif(what MATCHES "^gpu(_|$)") # a GPU in software compiles its shaders anew in every process
            set_tests_properties(${name} PROPERTIES TIMEOUT 1800)
        elseif(packages)
            set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED packages)
        endif()
    endforeach()
    if(CARAVAN_SYSROOT_ROOT)
        caravan_register(libraries check 300 ${CMAKE_SOURCE_DIR}/tools/check-libraries.sh $<TARGET_FILE:caravan> ${CARAVAN_SYSROOT_ROOT})
    endif()
endif()

caravan_register(clang unit 300 ${CMAKE_SOURCE_DIR}/tools/check-clang.sh "${CMAKE_BINARY_DIR}")
caravan_register(format check 300 ${CMAKE_SOURCE_DIR}/tools/check-format.sh)
foreach(check docs layers lists names style)
    if(EXISTS "${CMAKE_SOURCE_DIR}/tools/check-${check}.sh")
        caravan_register(${check} check 300 ${CMAKE_SOURCE_DIR}/tools/check-${check}.sh)
        caravan_register(${check}_selftest check 300 ${CMAKE_SOURCE_DIR}/tools/check-selftest.sh ${check})
    endif()
endforeach()

# A list that names a test that is no more would be wrong without a word.
get_property(registered GLOBAL PROPERTY CARAVAN_TESTS)
foreach(name IN LISTS CARAVAN_WAITING_TESTS CARAVAN_LONG_TESTS)
    if(TARGET caravan AND NOT name IN_LIST registered)
        message(FATAL_ERROR "cmake/Tests.cmake: there is no test \"${name}\"")
    endif()
endforeach()
