# SPDX-License-Identifier: MIT
# The Debian package, from the folder that tools/deb.sh lays out (CARAVAN_ROOT). Environment: CARAVAN_VERSION, CARAVAN_SOURCE, CARAVAN_OUT.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME caravan)
set(CPACK_PACKAGE_VERSION "$ENV{CARAVAN_VERSION}")
set(CPACK_PACKAGE_FILE_NAME "caravan-$ENV{CARAVAN_VERSION}")
set(CPACK_PACKAGE_VENDOR "Caravan contributors")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "run language models on several machines together")
set(CPACK_PACKAGE_DESCRIPTION "Each machine holds some layers of a model that is too big for one of them, and
every token passes through all. A model that fits on one machine is kept whole,
with copies where there is room. Every node serves the APIs of OpenAI,
Anthropic and Ollama. GGUF files, run by llama.cpp, which is inside.")
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "Caravan contributors <caravan@localhost>")
set(CPACK_DEBIAN_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "ca-certificates")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libvulkan1, mesa-vulkan-drivers")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA "$ENV{CARAVAN_SOURCE}/packaging/debian/postinst;$ENV{CARAVAN_SOURCE}/packaging/debian/prerm;$ENV{CARAVAN_SOURCE}/packaging/debian/postrm;$ENV{CARAVAN_SOURCE}/packaging/debian/conffiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
if(NOT "$ENV{CARAVAN_COMPRESSION}" STREQUAL "")
    set(CPACK_DEBIAN_COMPRESSION_TYPE "$ENV{CARAVAN_COMPRESSION}") # gzip is quicker, for a try
endif()
set(CPACK_INSTALLED_DIRECTORIES "$ENV{CARAVAN_ROOT};/")
set(CPACK_PACKAGING_INSTALL_PREFIX "/")
set(CPACK_SET_DESTDIR ON)
set(CPACK_PACKAGE_DIRECTORY "$ENV{CARAVAN_OUT}")
