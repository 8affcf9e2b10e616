# SPDX-License-Identifier: MIT
# Builds for 64-bit ARM on another machine, with Debian's cross compiler; what is built runs there under qemu (tools/test-arm64.sh).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CARAVAN_ARCH arm64)
