# shellcheck shell=sh
# SPDX-License-Identifier: MIT
# What tools/install.sh and tools/bundle.sh share: they set TOP (the source), BUILD (a build folder) and SAYS (a name for messages), and read this file.

fail() {
    printf '%s: error: %s\nhint: %s\n' "$SAYS" "$1" "$2" >&2
    exit 1
}

# Does the build folder use the sysroot's libraries? Only then has it this target.
uses_sysroot() {
    cmake --build "$BUILD" --target help | grep -qw caravan_bundle
}

# Builds the program in the configured folder: PROGRAM, and what it was linked with.
build_program() { # target of CMake, number of jobs
    target=$1
    cmake --build "$BUILD" --target "$target" -j"$2"
    PROGRAM=$BUILD/bin/$target
    root=$TOP/build/sysroot
    libdir= loader=
    if uses_sysroot; then
        libdir=$(find "$root/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu*' | head -1)
        loader=$(find "$libdir" -maxdepth 1 -name 'ld-linux*.so.*' | head -1)
    fi
}

# Copies a file. Renaming replaces an old one in one step: a running program keeps the files that it has open.
put() { # source, target folder
    name=$(basename "$1")
    cp -L "$1" "$2/.$name.new"
    mv -f "$2/.$name.new" "$2/$name"
}

# Copies the loader, the libraries, ggml's backends and the certificates of the sysroot.
put_runtime() { # target folder
    mkdir -p "$1"
    put "$loader" "$1"
    backends=$(find "$libdir/ggml" -maxdepth 1 -type d -name 'backends*' | head -1)
    mkdir -p "$1/ggml/$(basename "$backends")"
    for file in "$backends"/*.so; do
        put "$file" "$1/ggml/$(basename "$backends")"
    done
    for object in "$PROGRAM" "$backends"/*.so; do
        "$loader" --library-path "$libdir" --list "$object"
    done | awk '$2 == "=>" { print $3 }' | LC_ALL=C sort -u | while read -r library; do
        case $library in
        "$root"/*) put "$library" "$1" ;;
        *) fail "the program would load \"$library\" from outside the sysroot" "make clean sysroot, and again" ;;
        esac
    done
    put "$root/etc/ssl/certs/ca-certificates.crt" "$1"
}

# The built program, before its libraries are where it looks for them.
run_program() { # its own arguments
    if [ -n "$loader" ]; then "$loader" --library-path "$libdir" "$PROGRAM" "$@"; else "$PROGRAM" "$@"; fi
}

# Writes manual pages and completions, as the program itself prints them.
put_texts() { # target folder, as /usr/share
    mkdir -p "$1/man/man1" "$1/bash-completion/completions" "$1/zsh/site-functions" "$1/fish/vendor_completions.d"
    run_program help --man >"$1/man/man1/caravan.1"
    for command in $(sed -n 's/^COMMAND([A-Z]*, *"\([a-z]*\)".*, *false, *".*/\1/p' "$TOP/tables/commands.def"); do
        run_program help "$command" --man >"$1/man/man1/caravan-$command.1"
    done
    run_program help --completion bash >"$1/bash-completion/completions/caravan"
    run_program help --completion zsh >"$1/zsh/site-functions/_caravan"
    run_program help --completion fish >"$1/fish/vendor_completions.d/caravan.fish"
}
