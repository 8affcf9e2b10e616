#!/bin/sh
# SPDX-License-Identifier: MIT
# Tests the checks themselves: each planted fault must be found, and a clean tree must pass.  tools/check-selftest.sh docs|layers|lists|names|style
set -eu
tools=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
what=$1
work=$(mktemp -d "${TMPDIR:-/tmp}/caravan-check.XXXXXX")
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

fresh() {
    rm -rf "$work/tree"
    mkdir -p "$work/tree/src/base" "$work/tree/src/engine" "$work/tree/src/io" "$work/tree/src/node" "$work/tree/tests" "$work/tree/tools"
    for header in base/low base/other_priv io/side engine/mid node/high; do
        printf '/* SPDX-License-Identifier: MIT\n * A header for the test of the checks. */\n' >"$work/tree/src/$header.h"
    done
}

# plant FILE: the rest of a clean source file comes from standard input.
plant() {
    {
        printf '/* SPDX-License-Identifier: MIT\n * A file for the test of the checks. */\n'
        cat
    } >"$work/tree/$1"
}

result() { # name, 0 or 1 (wanted failure), text that must appear
    if "$tools/check-$what.sh" "$work/tree" >"$work/out" 2>&1; then got=0; else got=1; fi
    if [ "$got" = "$2" ] && grep -qF -- "$3" "$work/out"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'FAILED: %s: exit %s, wanted %s and "%s":\n' "$1" "$got" "$2" "$3"
        sed 's/^/    /' "$work/out"
    fi
}

include_fault() { # file, include line, wanted text
    fresh
    printf '%s\n' "$2" | plant "$1"
    result "$1: $2" 1 "$3"
}

files_of_room() { # the code of three files in base
    fresh
    for code in a b c; do
        printf '%s\n' "$1" | plant "src/base/$code.c"
        shift
    done
}

test_layers() {
    fresh
    printf '#include <llama.h>\n#include <stdio.h>\n#include "base/low.h"\n#include "engine/mid.h"\n' | plant src/engine/good.c
    result "clean tree" 0 "0 faults"
    include_fault src/base/bad.c '#include "engine/mid.h"' 'is not below base'
    include_fault src/engine/bad.c '#include "node/high.h"' 'is not below engine'
    include_fault src/engine/bad.c '#include "base/other_priv.h"' 'a private header'
    include_fault src/engine/bad.c '#include "mid.h"' 'write "folder/file.h"'
    include_fault src/engine/bad.c '#include "base/absent.h"' 'there is no such file'
    include_fault src/node/bad.c '#include <llama.h>' 'only src/engine'
    include_fault src/node/bad.c '#  include <ggml-backend.h>' 'only src/engine'
    include_fault src/engine/bad.c '#include <sqlite3.h>' 'only src/store'
    include_fault src/node/bad.c '#include <uv.h>' 'only src/io'
    include_fault src/node/bad.c '#include <llhttp.h>' 'only src/http'
    include_fault src/node/bad.c '#include <openssl/ssl.h>' 'only src/io'
    include_fault src/node/bad.c '#include <curl/curl.h>' 'only src/http'
    include_fault src/node/bad.c '#include <hiredis/hiredis.h>' 'only src/cache'
    include_fault src/io/bad.c '#include <yyjson.h>' 'only base/json.h'
    fresh
    mkdir "$work/tree/src/cellar"
    echo 'int cellar;' | plant src/cellar/bad.c
    result "a folder without a floor" 1 'has no floor'
    fresh
    mkdir "$work/tree/docs"
    sed -n '/^floor [0-9]/p' "$tools/../docs/ARCHITECTURE.md" >"$work/tree/docs/ARCHITECTURE.md"
    result "the picture of the floors" 0 '0 faults'
    sed 's/^floor 2 .*/floor 2   model\/ grammar\/ store\//' "$tools/../docs/ARCHITECTURE.md" >"$work/tree/docs/ARCHITECTURE.md"
    result "a room that is missing in the picture" 1 'has io on floor ""'
    files_of_room 'int first(void) { return 1; }' 'int second(void) {
    /* not first( */ return first(); }' 'int third(void) { return first() + second(); }'
    result "files that use each other in one direction" 0 'circles: 0 of 3 files in 0 circles'
    files_of_room 'int first(void) { return second(); }' 'int second(void) {
    return third();
}' 'int third(void) { return first(); }'
    result "a circle of three files" 1 'the circle "base: a b c" is new'
    files_of_room 'const struct row table[] = {{second}};' 'int second(void) { return table[0].fn == second; }' 'int third;'
    result "a circle through a table of functions" 1 'the circle "base: a b" is new'
    files_of_room 'static int first(void) { return second(); }' 'int second(struct first *s) { return s->first; }' 'int third;'
    result "names of types and members are no uses" 0 'circles: 0 of 3 files'
    fresh
    echo 'int slice_free(void) { return 1; }' | plant src/engine/slice.c
    echo 'int slice_run(void) { return slice_free(); }' | plant src/engine/slice_run.c
    result "a circle of the list that is no circle any more" 1 'there is no circle "engine: slice slice_run" any more'
    echo 'int slice_free(void) { return slice_run(); }' | plant src/engine/slice.c
    result "a circle of the list" 0 'circles: 2 of 2 files in 1 circles'
}

code_fault() { # line of code, wanted text
    fresh
    printf 'int good(int a);\nint good(int a) {\n%s\n    return a;\n}\n' "$1" | plant src/base/bad.c
    result "$1" 1 "$2"
}

document() { # lines of a document; the folders are described
    fresh
    mkdir -p "$work/tree/docs" "$work/tree/tables" "$work/tree/tests/unit"
    printf 'all: ## a target\n' >"$work/tree/Makefile"
    printf 'COMMAND(UP, "up", "", cli_up, false, "run")\n' >"$work/tree/tables/commands.def"
    printf 'OPTION(MEMORY, "memory", "")\n' >"$work/tree/tables/options.def"
    printf 'SAMPLING(top_k, I)\n' >"$work/tree/tables/sampling.def"
    echo 'int a;' | plant tests/unit/test_io_side.c
    printf '`base/` `engine/` `io/` `node/` %s\n' "$1" >"$work/tree/docs/ARCHITECTURE.md"
}

document_fault() { # line of the document, wanted text
    document "$1"
    result "$1" 1 "$2"
}

test_docs() {
    document '`io/side.h` [x](../Makefile) `src/io/side` `test_io_side` `make all` `caravan up --memory 1G` `--top-k` `side.h` `tests/unit/*.c`'
    printf '/* See side.h and io/side.h. */\nint f(void) { return w.c; }\n' | plant src/io/side.c
    result "clean tree" 0 " 0 faults"
    document_fault '`io/absent.h`' 'there is no file or folder "io/absent.h"'
    document_fault '`src/cellar/`' 'there is no file or folder "src/cellar/"'
    document_fault '[x](absent.md)' 'there is no file "docs/absent.md"'
    document_fault '<img src="absent.png" alt="x">' 'there is no file "docs/absent.png"'
    document_fault '`test_io_absent`' 'there is no test "test_io_absent"'
    document_fault '`make absent`' 'there is no target "make absent"'
    document_fault '`caravan absent`' 'there is no subcommand "caravan absent"'
    document_fault '`caravan up --absent 1`' 'there is no option "--absent"'
    document ''
    mkdir "$work/tree/src/cellar"
    echo 'int a;' | plant src/cellar/good.c
    result "a folder that is not described" 1 'the folder "src/cellar" is not described'
    document_fault "$(printf '\n```sh')" 'the block is marked "sh"'
    document_fault "$(printf '\n```\ncaravan up\n```')" 'a command in a block that is not marked'
    document_fault "$(printf '\n\n    make all')" 'a command in a block that is not marked'
    document_fault "$(printf '\n```sh run studio up\ncaravan up \\\n    --absent 1\n```')" 'there is no option "--absent"'
    document_fault "$(printf '\n```sh shown\nsudo -u caravan caravan absent\n```')" 'there is no subcommand "caravan absent"'
    document "$(printf '\n```sh run studio\n./caravan up # --absent\nls --absent\n```\n```\nmemory = 1G\n```')"
    result "marked blocks" 0 " 0 faults"
    for row in '| `BUSY` | 429 | 75 | busy, so wait | wait |' '| `BUSY` | 500 | 75 | busy | wait |' '| `GONE` | 500 | 75 | gone | wait |' ''; do
        document ''
        printf 'ERR(BUSY, "busy",   429, 75)\n' >"$work/tree/tables/errors.def"
        printf '%s\n' "$row" >"$work/tree/docs/TROUBLESHOOTING.md"
        case $row in
        *busy,*) result "the table of errors" 0 " 0 faults" ;;
        '') result "an error that is not in the document" 1 'no line that begins "| `BUSY` | 429 | 75 | busy"' ;;
        *) result "$row" 1 'the table of errors has no such row' ;;
        esac
    done
    document ''
    printf '[x](ARCHITECTURE.md)\n' >"$work/tree/docs/README.md"
    result "an index" 0 " 0 faults"
    echo 'Text.' >"$work/tree/docs/LOST.md"
    result "a document that the index lacks" 1 'docs/README.md: it does not lead to "docs/LOST.md"'
    document ''
    printf '| `src/base/`, `src/io/` |\n| `src/engine/` |\nThe rest is in `src/node/`.\n' >"$work/tree/CONTRIBUTING.md"
    result "a folder whose tests are not named" 1 'CONTRIBUTING.md: the table does not say what tests "src/node"'
    document ''
    printf '/* A comment of\n * two lines: absent.c has the rest. */\n' | plant src/io/bad.c
    result "a comment that names a file" 1 'src/io/bad.c:4: there is no file "absent.c"'
}

list_of() { # an item of the list
    fresh
    mkdir -p "$work/tree/tables" "$work/tree/docs" "$work/tree/cmake"
    for file in CMakeLists.txt cmake/a.cmake docs/API.md docs/OPTIONS.md docs/PROTOCOL.md docs/ARCHITECTURES.md; do
        : >"$work/tree/$file"
    done
    echo 'WORD(some_word, SOME_WORD_TOO)' >"$work/tree/tables/words.def"
    echo 'int a = some_word;' | plant src/io/side.c
    printf '## What to touch\n\n- **A word**: %s\n\n## The rest\n' "$1" >"$work/tree/CONTRIBUTING.md"
}

test_lists() {
    list_of '`tables/words.def`, and in `src/io/` its use. If it is `other`: `src/base/low.h`. Shown by `some_word`. Tests come on top: `base`.'
    result "clean tree" 0 "1 lists, 0 faults"
    list_of '`tables/words.def`. Shown by `some_word`.'
    result "a file that is not in the list" 1 '"src/io/side.c" is missing in the list'
    list_of '`tables/words.def`, `src/io/side.c`, `src/io/side.h`. Shown by `some_word`.'
    result "a file that is in the list for nothing" 1 '"src/io/side.h" is in the list and has none of'
    list_of '`tables/words.def`. Shown by `SOME_WORD`.'
    result "a part of a word" 1 '"tables/words.def" is in the list and has none of'
}

header_fault() { # text of a header, wanted text
    fresh
    printf '%s\n' "$1" | plant src/io/bad_priv.h
    result "$1" 1 "$2"
}

test_names() {
    fresh
    plant src/io/side.h <<'END'
#define other_macro(a) \
    other_call(a)
/* void other_comment(void); */
struct side {
    int (*other_member)(struct side *s); /* a pointer, no function */
};
typedef void (*other_type)(int a);
enum { SIDE_ONE = sizeof(int) };
struct side *side_create(int a, int (*other_argument)(int b)) __attribute__((malloc));
const char *io_text(void);
static inline int side_sum(int a) { return other_call(a); }
static inline int side(int a) {
    return other_call(a);
}
END
    result "clean tree" 0 "5 headers, 4 functions, 0 faults"
    header_fault 'int other_call(int a);' 'bad_priv.h:3: "other_call" begins neither with "bad_" (its file) nor with "io_" (its room)'
    header_fault 'struct x *badly_named(void);' '"badly_named" begins'
    header_fault 'static inline int other_call(int a) { return a; }' '"other_call" begins'
    header_fault "$(printf 'struct x { int a; };\nint bad_one(int a,\n            int b); int\nother_call(void) __attribute__((noreturn));')" ':6: "other_call" begins'
}

lines() { awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) print "    a++;" }'; }

test_style() {
    fresh
    printf 'struct x {\n    int a;\n};\nint good(int a);\nint good(int a) {\n%s\n    /* strcpy( in a comment, and */ const char *s = "atoi(x)";\n    return s ? a : 0;\n}\n' \
        "$(lines 65)" | plant src/base/good.c
    result "clean tree" 0 "0 faults"
    code_fault '    strcpy(a, b);' '"strcpy" is not used here'
    code_fault '    x = sprintf (b, "%d", a);' '"sprintf" is not used here'
    code_fault '    a = atoi(b);' '"atoi" is not used here'
    code_fault '    yyjson_arr_foreach(yyjson_obj_get(v, "x"), i, n, o) {' 'json_some'
    code_fault '    sleep(1);' '"sleep" is not used here'
    code_fault '    assert(!"never");' 'assert(!"text")'
    code_fault "    /* TO""DO: later */" 'unfinished work'
    code_fault "    /* X""XX */" 'unfinished work'
    code_fault "$(printf '\ta++;')" 'a tab'
    code_fault '    a++; ' 'blanks at the end'
    code_fault "    /* $(lines 25 | tr -d '\n') */" 'at most 140'
    code_fault "$(lines 68)" 'at most 70'
    code_fault '    /* http://deb''.debian.org/ */' 'package registry'
    code_fault '    const char *p = "/ro''ot/model.gguf";' "somebody's machine"
    code_fault '    int fd = socket(a, SOCK_CLOEXEC, 0);' 'differs between systems'
    code_fault '    fdatasync(fd);' 'differs between systems'
    code_fault '    p = mmap(NULL, n, a, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);' 'differs between systems'
    code_fault '#include <malloc.h>' 'neither ISO C nor POSIX'
    code_fault '#include <sys/prctl.h>' 'neither ISO C nor POSIX'
    code_fault '    /* not closed' 'not closed'
    fresh
    lines 801 | plant src/base/bad.c
    result "a long file" 1 'at most 800'
    fresh
    printf '#include "low.h"\n' | plant src/base/bad.c
    result "include without its folder" 1 'folder/file.h'
    fresh
    printf 'int a;\nint b;\n' >"$work/tree/src/base/bad.c"
    result "no licence line" 1 'SPDX'
    result "no purpose" 1 'what the file is for'
    fresh
    printf '#!/bin/sh\necho hello\n' >"$work/tree/tools/bad.sh"
    result "a script without a licence line" 1 'SPDX'
}

"test_$what"
printf '%s: %d planted faults found or clean trees passed, %d not\n' "$what" "$passed" "$failed"
[ "$failed" = 0 ]
