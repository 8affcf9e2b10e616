# SPDX-License-Identifier: MIT
# What is built into the program from npm (tools/bundle.sh fetches it): caravan_embed() makes a C file of a text.  Result:
# CARAVAN_JINJA_SOURCE, the C file with @huggingface/jinja, which src/chat/jinja.c runs; with CARAVAN_JINJA off it is empty.

set(CARAVAN_JINJA on CACHE STRING "Chat templates by the model's own Jinja: on, or off (only the templates that libllama has built in)")
set_property(CACHE CARAVAN_JINJA PROPERTY STRINGS on off)

# Writes `output`: const unsigned char <symbol>[] with the bytes of the files in ARGN one after another and a NUL, and const size_t <symbol>_len.
function(caravan_embed output symbol)
    set(bytes "")
    foreach(file IN LISTS ARGN)
        file(READ "${file}" hex HEX)
        string(APPEND bytes "${hex}")
        set_property(DIRECTORY "${CMAKE_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
    endforeach()
    string(LENGTH "${bytes}" length)
    math(EXPR length "${length} / 2")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    file(CONFIGURE OUTPUT "${output}" CONTENT "#include <stddef.h>
extern const unsigned char ${symbol}[];
extern const size_t ${symbol}_len;
const unsigned char ${symbol}[] = {${bytes}0};
const size_t ${symbol}_len = ${length};
" @ONLY)
endfunction()

set(CARAVAN_JINJA_SOURCE "${CMAKE_BINARY_DIR}/bundle/jinja_source.c")
if(CARAVAN_JINJA STREQUAL "on")
    execute_process(COMMAND "${CMAKE_SOURCE_DIR}/tools/bundle.sh" RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "the npm packages that are built into the program could not be fetched (see above)")
    endif()
    set_property(DIRECTORY "${CMAKE_SOURCE_DIR}" APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/package-lock.json")
    set(package "${CARAVAN_FETCHED}/bundle/node_modules/@huggingface/jinja")
    # Its licence travels with it, as a comment.
    file(READ "${package}/LICENSE" licence)
    file(CONFIGURE OUTPUT "${CMAKE_BINARY_DIR}/bundle/licence.js" CONTENT "/* @huggingface/jinja\n${licence}*/\n" @ONLY)
    caravan_embed("${CARAVAN_JINJA_SOURCE}" jinja_source "${CMAKE_BINARY_DIR}/bundle/licence.js"
                  "${CMAKE_SOURCE_DIR}/src/chat/jinja_before.js" "${package}/dist/index.cjs" "${CMAKE_SOURCE_DIR}/src/chat/jinja_after.js")
    message(STATUS "Chat templates: the models' own, by @huggingface/jinja")
else()
    caravan_embed("${CARAVAN_JINJA_SOURCE}" jinja_source)
    message(STATUS "Chat templates: only those that libllama has built in (CARAVAN_JINJA=off)")
endif()
