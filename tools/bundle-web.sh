#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes a C source of the web page's files (src/web/asset.h): those of web/, what it takes from npm, and what it knows from tables/.
# Without npm, or when npm can't fetch, the page says what it lacks.  tools/bundle-web.sh OUT.c [ROOT]
set -eu
out=$1
root=${2:-$(CDPATH= cd -- "$(dirname -- "$0")/.." && pwd)}
home=$root/build/page
work=$(mktemp -d "${TMPDIR:-/tmp}/caravan-web.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/web/lib" "$work/gz"

# The packages, once for each lock file.
fetch() {
    command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || return 1
    cmp -s "$root/web/package-lock.json" "$home/.lock-used" && return 0
    mkdir -p "$home"
    cp "$root/web/package.json" "$root/web/package-lock.json" "$root/web/.npmrc" "$home"
    (cd "$home" && npm ci --ignore-scripts --fetch-retries=1 --loglevel=error >&2) || return 1
    cp "$root/web/package-lock.json" "$home/.lock-used"
}

# take FILE NAME: a file of a package, without the note where its source map would be
take() { sed '/^\/\/# sourceMappingURL=/d; s/[ ]*\/\/# sourceMappingURL=.*$//' "$home/node_modules/$1" >"$work/web/lib/$2"; }

languages='bash c cpp csharp css diff dockerfile go ini java javascript json kotlin lua makefile markdown php python ruby rust sql swift typescript xml yaml'
cp "$root"/web/*.js "$root"/web/*.css "$root"/web/*.html "$root"/web/*.svg "$work/web/"
if fetch; then
    take marked/lib/marked.esm.js marked.js
    take dompurify/dist/purify.es.mjs purify.js
    take uqr/dist/index.mjs qr.js
    { take uplot/dist/uPlot.iife.min.js uplot.js && echo 'export default uPlot' >>"$work/web/lib/uplot.js"; }
    take uplot/dist/uPlot.min.css uplot.css
    take @highlightjs/cdn-assets/es/core.min.js highlight.js
    for language in $languages; do take "@highlightjs/cdn-assets/es/languages/$language.min.js" "highlight-$language.js"; done
    for package in marked dompurify uqr uplot @highlightjs/cdn-assets; do
        printf '==== %s ====\n\n' "$package"
        cat "$home/node_modules/$package/LICENSE"
        echo
    done >"$work/web/licences.txt"
    there=true
else
    echo "note: no npm, or it could not fetch: the web page is built without formatted text, highlighted code, charts and QR codes" >&2
    there=false
fi
{
    echo '// Made by the build.'
    echo "export const complete = $there"
    printf 'export const languages = "%s".split(" ")\n' "$languages"
    echo 'export const sampling = ['
    sed -n 's/^SAMPLING(\([a-z_]*\), *\([FI]\), *\([-0-9.]*\), *\([-0-9.]*\), *\([-0-9.]*\), *\(".*"\))$/    { name: "\1", type: "\2", min: \3, max: \4, value: \5, help: \6 },/p' "$root/tables/sampling.def"
    echo ']'
} >"$work/web/made.js"

type_of() {
    case $1 in
    *.js) echo 'text/javascript; charset=utf-8' ;;
    *.css) echo 'text/css; charset=utf-8' ;;
    *.html) echo 'text/html; charset=utf-8' ;;
    *.svg) echo 'image/svg+xml' ;;
    *) echo 'text/plain; charset=utf-8' ;;
    esac
}
# bytes NAME FILE: an array
bytes() {
    echo "static const unsigned char $1[] = {"
    od -An -v -tx1 "$2" | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'
    echo '0};'
}

{
    echo '/* Made by tools/bundle-web.sh. */'
    echo '#include "web/asset.h"'
    n=0
    (cd "$work/web" && find . -type f | sed 's|^\./||' | LC_ALL=C sort) >"$work/list"
    while IFS= read -r file; do
        size=$(wc -c <"$work/web/$file" | tr -d ' ')
        sum=$(cksum <"$work/web/$file" | tr ' ' '-')
        bytes "data$n" "$work/web/$file"
        gzip_len=0
        if command -v gzip >/dev/null 2>&1; then
            gzip -9nc "$work/web/$file" >"$work/gz/file"
            gzip_len=$(wc -c <"$work/gz/file" | tr -d ' ')
        fi
        [ "$gzip_len" -lt "$size" ] || gzip_len=0
        zip=NULL
        if [ "$gzip_len" -gt 0 ]; then
            zip=gzip$n
            bytes "$zip" "$work/gz/file"
        fi
        printf '    {"%s", "%s", "\\"%s\\"", "\\"%s-gz\\"", data%s, %s, %s, %s},\n' \
            "$file" "$(type_of "$file")" "$sum" "$sum" "$n" "$zip" "$size" "$gzip_len" >>"$work/rows"
        n=$((n + 1))
    done <"$work/list"
    echo 'const struct web_asset web_assets[] = {'
    cat "$work/rows"
    echo '};'
    echo 'const size_t web_n_assets = sizeof(web_assets) / sizeof(web_assets[0]);'
} >"$work/out.c"
mv "$work/out.c" "$out"
