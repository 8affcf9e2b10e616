#!/bin/sh
# SPDX-License-Identifier: MIT
# Fails where the sources break a rule that a machine can see (CONTRIBUTING.md names them all).  tools/check-style.sh [ROOT]
set -eu
root=${1:-$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)}
cd "$root"

list_files() {
    if [ -d .git ] && command -v git >/dev/null 2>&1; then
        git ls-files -co --exclude-standard
    else
        find . -type f ! -path './build/*' ! -path '*/node_modules/*' | sed 's|^\./||'
    fi | LC_ALL=C sort -u | while IFS= read -r file; do
        [ ! -f "$file" ] || printf '%s\n' "$file"
    done
}

list_files | grep -E '(\.(c|h|def|sh|cmake|md|mjs|js|json|py|css|html|txt|conf)|Makefile|\.ci/run)$' | tr '\n' '\0' | xargs -0 awk '
function fault(text) {
    printf "%s:%d: %s\n", FILENAME, FNR, text
    faults++
}
function ban(names, reason,    part, i, n) {
    n = split(names, part, " ")
    for (i = 1; i <= n; i++)
        banned[part[i]] = reason
}
# The line without comments and the insides of strings and characters.
function code_of(line,    out, c, i, n, quote) {
    out = ""
    n = length(line)
    for (i = 1; i <= n; i++) {
        c = substr(line, i, 1)
        if (in_comment) {
            if (c == "*" && substr(line, i + 1, 1) == "/") {
                in_comment = 0
                i++
            }
        } else if (quote != "") {
            if (c == "\\")
                i++
            else if (c == quote) {
                quote = ""
                out = out c
            }
        } else if (c == "/" && substr(line, i + 1, 1) == "*") {
            in_comment = 1
            i++
        } else if (c == "/" && substr(line, i + 1, 1) == "/") {
            break
        } else {
            if (c == "\"" || c == "\047")
                quote = c
            out = out c
        }
    }
    return out
}
function check_first_lines() {
    if (FNR == 1 && (kind == "c" || kind == "def") && $0 !~ /^\/\* SPDX-License-Identifier: MIT( \*\/)?$/)
        fault("the first line must be \"/* SPDX-License-Identifier: MIT\"")
    # The description of the module in x.h counts for x.c too.
    own = FILENAME
    sub(/^src\//, "", own)
    sub(/\.c$/, ".h", own)
    if (FNR == 2 && (kind == "c" || kind == "def") && $0 !~ /^(\/| )\* .........../ && $0 != "#include \"" own "\"")
        fault("the second line must say what the file is for")
    if (FNR <= 2 && $0 ~ /SPDX-License-Identifier: MIT/)
        licensed = 1
    if (FNR == 2 && (kind == "script" || kind == "cmake") && !licensed)
        fault("one of the first two lines must be \"# SPDX-License-Identifier: MIT\"")
    if (FNR == 3 && kind == "script" && $0 !~ /^(#|\/\/) ?.........../ && previous !~ /^(#|\/\/|""") ?.........../)
        fault("the third line must say what the script is for")
}
function check_function(code) {
    if (!in_function) {
        if (code ~ /^[A-Za-z_].*\(/ && code !~ /[;=]/ ) {
            start = FNR
            title = code
        } else if (code ~ /;[ ]*$/ || code ~ /^}/)
            start = 0
        if (start && code ~ /\{[ ]*$/)
            in_function = 1
    } else if (code ~ /^}/) {
        functions++
        if (FNR - start + 1 > 70) {
            sub(/\(.*/, "", title)
            fault("the function \"" title "\" has " FNR - start + 1 " lines, at most 70")
        }
        in_function = 0
        start = 0
    }
}
function check_banned(code,    rest, word) {
    rest = code
    while (match(rest, /[A-Za-z_][A-Za-z_0-9]*[ ]*\(/)) {
        word = substr(rest, RSTART, RLENGTH - 1)
        sub(/ +$/, "", word)
        # Members that have the same name are allowed.
        if (word in banned && (RSTART == 1 || substr(rest, RSTART - 1, 1) !~ /[.>]/))
            fault("\"" word "\" is not used here: " banned[word])
        rest = substr(rest, RSTART + RLENGTH)
    }
    if (code ~ /assert\(!""/)
        fault("assert(!\"text\") says nothing about the state; write the condition, or abort with a message")
}
function end_of_file() {
    if (last_file != "" && (last_kind == "c") && last_line > 800) {
        printf "%s:%d: the file has %d lines, at most 800\n", last_file, last_line, last_line
        faults++
    }
    if (last_file != "" && last_comment) {
        printf "%s: a comment is not closed\n", last_file
        faults++
    }
}
BEGIN {
    ban("strcpy strcat sprintf vsprintf gets stpcpy", "no bound; use snprintf, mem_printf or a struct buf")
    ban("strncpy strncat", "may leave no NUL, or cut silently; use snprintf and look at what it returns")
    ban("atoi atol atoll atof", "errors go unseen; use base/str.h")
    ban("scanf sscanf fscanf vsscanf", "overflow is undefined; use base/str.h")
    ban("strtok asctime ctime gmtime localtime", "not safe with threads; use str_next, *_r")
    ban("alloca", "no bound on the stack")
    ban("rand srand random srandom drand48", "not reproducible across threads; use a seeded generator of your own")
    ban("setlocale", "the C locale stays; text is UTF-8 (docs/ARCHITECTURE.md)")
    ban("system popen", "starts a shell; use posix_spawn or fork and exec")
    ban("tmpnam mktemp tempnam", "a race; use mkstemp or mkdtemp")
    ban("sleep usleep", "sleeping is no synchronisation; wait for the event (in a tool: nanosleep)")
    ban("iconv_open", "text is UTF-8 everywhere")
    ban("longjmp setjmp", "hides the way out; return an error")
    # glibc declares these in any mode; other systems lack them, or name them differently.
    alien = "(SOCK_CLOEXEC|SOCK_NONBLOCK|MSG_CMSG_CLOEXEC|TCP_USER_TIMEOUT|TCP_KEEPIDLE|IP_MULTICAST_ALL|SO_DOMAIN|st_mtim|eventfd|prctl|getauxval|malloc_trim|getrandom|__linux__|__GLIBC__|__APPLE__" \
            "|accept4|pipe2|dup3|epoll_create1|inotify_init1|memfd_create|timerfd_create|signalfd|sendmmsg|recvmmsg|close_range|sched_setaffinity" \
            "|MAP_ANONYMOUS|MAP_ANON|MAP_POPULATE|MADV_[A-Z]+|O_DIRECT|O_TMPFILE|POLLRDHUP|CLOCK_BOOTTIME|mallopt"
    # Of POSIX, but not of macOS.
    alien = alien "|fdatasync|posix_fadvise|posix_fallocate|clock_nanosleep|pthread_condattr_setclock|pthread_mutex_timedlock|pthread_barrier_init" \
            "|pthread_spin_init|sem_init|sem_timedwait|timer_create|mq_open|ppoll|sigtimedwait)"
    # The headers of ISO C and of POSIX, and two of BSD: for flock(), and for the size of a terminal.
    standard = "(arpa/inet|assert|complex|ctype|dirent|dlfcn|errno|fcntl|fenv|float|fnmatch|glob|grp|inttypes|langinfo|libgen|limits|locale|math|net/if|netdb" \
               "|netinet/in|netinet/tcp|poll|pthread|pwd|regex|sched|setjmp|signal|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn" \
               "|string|strings|sys/(mman|resource|select|socket|stat|statvfs|time|times|types|uio|un|utsname|wait|file|ioctl)|termios|time|unistd|wchar|wctype)"
    # Those of libraries (tools/check-layers.sh says whose), of compilers, and of macOS in the file that it alone compiles.
    foreign = "(llama|ggml|gguf|mtmd|sqlite3|uv[.]h|openssl/|llhttp|curl/|blake3|avahi-|hiredis/|hwloc|yyjson|dns_sd[.]h|immintrin[.]h|arm_neon[.]h)"
    marks = "TO" "DO|FIX" "ME|HA" "CK"
    mark3 = "X" "XX"
    hosts = "deb\\.deb" "ian|security\\.deb" "ian|archive\\.ubu" "ntu|registry\\.npm" "js|py" "pi\\.org|pythonhos" "ted|crates\\.i" "o/|rubygems\\.o" "rg"
    places = "(^|[^A-Za-z0-9_.~$}-])/(wo" "rk/(main|shared)|tmp/(s" "r|team)/|ro" "ot/[a-z.]|Use" "rs/[a-z]|ho" "me/[a-z])"
}
FNR == 1 {
    end_of_file()
    files++
    in_comment = in_function = start = licensed = 0
    previous = ""
    kind = FILENAME ~ /\.[ch]$/ ? "c" : FILENAME ~ /\.def$/ ? "def" : FILENAME ~ /\.cmake$|CMakeLists\.txt$/ ? "cmake" : \
           FILENAME ~ /\.(sh|mjs|js|py)$|\.ci\/run$/ ? "script" : "text"
    source = FILENAME ~ /^(src|tests|tools)\// && kind == "c"
}
{
    last_file = FILENAME
    last_line = FNR
    last_kind = kind
    if (kind != "text")
        check_first_lines()
    if ($0 ~ /\t/ && FILENAME !~ /Makefile$/)
        fault("a tab; indent with spaces")
    if ($0 ~ /\r$/)
        fault("the line ends with a carriage return")
    if ($0 ~ /[ ]$/ && kind != "text")
        fault("blanks at the end of the line")
    if (kind == "c" && length($0) > 140)
        fault("the line has " length($0) " characters, at most 140")
    if ($0 ~ ("(^|[^A-Za-z])(" marks "|" mark3 ")($|[^A-Za-z])"))
        fault("a note of unfinished work; finish it, or file an issue")
    if ($0 ~ hosts)
        fault("the host name of a package registry")
    if ($0 ~ places)
        fault("an absolute path of somebody\047s machine")
    if (kind == "c") {
        code = code_of($0)
        if (FILENAME ~ /^src\// && FILENAME !~ /^src\/os\// && (code ~ ("(^|[^A-Za-z0-9_])" alien "($|[^A-Za-z0-9_])") || $0 ~ /"\/(proc|sys)\//))
            fault("this differs between systems: it belongs into src/os/")
        if (FILENAME ~ /^src\// && FILENAME !~ /^src\/os\// && $0 ~ /^[ ]*#[ ]*include[ ]*</ && $0 !~ ("<(" standard "[.]h>|" foreign ")"))
            fault("neither ISO C nor POSIX has this header: it belongs into src/os/")
        check_function(code)
        check_banned(code)
        if (code ~ /_foreach\(yyjson_obj_get\(/ && FILENAME ~ /^src\//)
            fault("the loop uses the pointer before it checks it: write json_some(yyjson_obj_get(...))")
        if (code ~ /^[ ]*#[ ]*include[ ]*"/ && $0 !~ /"([a-z_0-9]+\/[a-z_0-9]+\.h|(\.\.\/)+tables\/[a-z_]+\.def)"/)
            fault("write #include \"folder/file.h\"")
    }
    last_comment = in_comment
    previous = $0
}
END {
    end_of_file()
    printf "style: %d files, %d functions, %d faults\n", files, functions, faults
    exit faults > 0
}'
