#!/bin/sh
# SPDX-License-Identifier: MIT
# What is handed out: the bundle runs in a root folder that has nothing else, from a path with a blank, with its own libraries and children;
# the install script puts it there, replaces it and takes it away, and refuses what is not what it should be; Homebrew's formula and launchd's
# list name files and options that are there; the Debian package holds the same program, and its service names files that are there.
set -eu
case ${CARAVAN_SANITIZE:-}${CARAVAN_BUILD##*/} in
release) ;;
*) echo "skipped: only the release build is handed out"; exit 77 ;;
esac
cmake --build "$CARAVAN_BUILD" --target help | grep -qw caravan_bundle || { echo "skipped: this build uses the system's libraries"; exit 77; }
fail() {
    echo "not ok - $1"
    exit 1
}

URL=https://releases.example/v1 XZ_LEVEL=-0 "$CARAVAN_SOURCE/tools/bundle.sh" >bundle.log 2>&1 || { cat bundle.log; fail "the bundle is made"; }
made=$(find "$CARAVAN_SOURCE/build/bundle" -maxdepth 1 -name 'caravan-*-linux-*' -type d)
root="$CARAVAN_TMP/empty root" home="/a folder/caravan"
mkdir -p "$root/a folder" "$root/proc" "$root/dev" "$root/tmp"
cp -R "$made" "$root$home"
if strings -n 8 "$root$home/lib/caravan/caravan" | grep -F "$CARAVAN_SOURCE"; then fail "the program names no folder of the machine that built it"; fi
echo "ok - the program names no folder of the machine that built it"

if [ "$(id -u)" != 0 ]; then
    echo "# not root: the bundle runs where it is, not in an empty root"
    "$root$home/bin/caravan" run "$CARAVAN_SOURCE/models/caravan-demo.gguf" "Who are you?" >answer 2>log || { cat log; fail "it answers"; }
else
    cp "$CARAVAN_SOURCE/models/caravan-demo.gguf" "$root/"
    # In a mount namespace of its own, which ends with the last process.
    # shellcheck disable=SC2016
    unshare --mount sh -ec 'mount --bind /proc "$1/proc"; mount --bind /dev "$1/dev"; exec chroot "$1" "$2/bin/caravan" run /caravan-demo.gguf "Who are you?"' \
        sh "$root" "$home" >answer 2>log || { cat log; fail "it answers in an empty root"; }
fi
grep -qi caravan answer || { cat answer log; fail "it answers"; }
echo "ok - the bundle answers in an empty root, from a path with a blank"

mv "$root$home/lib/caravan/libllama.so.0" "$root$home/lib/caravan/gone"
if "$root$home/bin/caravan" --version >out 2>&1; then fail "it takes no library from outside"; fi
grep -q 'libllama.so.0' out || { cat out; fail "it names the library that is missing"; }
echo "ok - a library that is missing in the bundle is not taken from the machine"

# ---- make install ----
for version in first second; do # the second one replaces the first
    "$CARAVAN_SOURCE/tools/install.sh" "$CARAVAN_TMP/for good" >install.log 2>&1 || { cat install.log; fail "make install, the $version time"; }
done
there="$CARAVAN_TMP/for good"
"$there/bin/caravan" run "$CARAVAN_SOURCE/models/caravan-demo.gguf" "Who are you?" >answer 2>log </dev/null || { cat log; fail "what make install puts there answers"; }
grep -qi caravan answer || { cat answer log; fail "what make install puts there answers"; }
for command in $(sed -n 's/^COMMAND([A-Z]*, *"\([a-z]*\)".*, *false, *".*/\1/p' "$CARAVAN_SOURCE/tables/commands.def"); do
    grep -qi "^\.TH caravan.*-$command 1" "$there/share/man/man1/caravan-$command.1" || fail "make install puts the manual page of $command there"
done
for shell in bash-completion/completions/caravan zsh/site-functions/_caravan fish/vendor_completions.d/caravan.fish; do
    grep -q perplexity "$there/share/$shell" || fail "make install puts $shell there"
done
[ "$(find "$there" -name '.*')" = "" ] || fail "make install leaves no file of its own work"
echo "ok - make install puts program, a manual page for each command and completions of three shells there, and replaces them"

# ---- the install script ----
archive=$(find "$CARAVAN_SOURCE/build" -maxdepth 1 -name 'caravan-*-linux-*.tar.xz')
name=$(basename "$archive")
mkdir "a release" home
cp "$archive" "$archive.sha256" "$CARAVAN_SOURCE/build/install.sh" "a release/"
# As a user without a folder for programs. Everything that the script says goes to the file "said".
! command -v shellcheck >/dev/null || shellcheck "$CARAVAN_SOURCE/packaging/install.sh" || fail "shellcheck finds nothing in the install script"
install() { HOME="$CARAVAN_TMP/home" sh "a release/install.sh" "$@" >said 2>&1; }
refuses() { # text that must be said, arguments
    wanted=$1
    shift
    if install "$@"; then cat said; fail "the install script refuses: $*"; fi
    grep -qF -- "$wanted" said || { cat said; fail "the install script says \"$wanted\""; }
    [ -z "$(find home -name '*caravan*')" ] || fail "a refused installation leaves nothing: $*"
}
refuses 'there is no file "gone.tar.xz"' --user gone.tar.xz
refuses 'the bundle would come unprotected' --user "http://releases.example/$name"
refuses 'is not an absolute path' --user --prefix here "a release/$name"
refuses 'is not what it should be: its SHA-256 is' --user --sha256 "$(printf '%064d' 0)" "a release/$name"
refuses 'there is no Caravan of this script' --user --undo
refuses 'usage: sh install.sh' --nonsense
cp "$archive" "a release/${name%-*}-m68k.tar.xz"
refuses 'this bundle is for m68k' --user --sha256 "$(cut -c1-64 "$archive.sha256")" "a release/${name%-*}-m68k.tar.xz"
mkdir -p "evil/${name%.tar.xz}"
echo 'not yours' >evil/elsewhere
tar -C evil -cJf "a release/evil.tar.xz" "${name%.tar.xz}" elsewhere
mkdir other && mv "a release/evil.tar.xz" "other/$name"
refuses 'files outside of its folder' --user --sha256 "$(sha256sum "other/$name" | cut -c1-64)" "other/$name"
echo "ok - the install script refuses what is not what it should be, and leaves nothing"

install --user "a release/$name" || { cat said; fail "it installs"; }
grep -q "is not in your PATH" said || { cat said; fail "it says that the PATH lacks the folder"; }
home/.local/bin/caravan --version | grep -q '^caravan ' || fail "the installed program starts"
for file in share/man/man1/caravan-up.1 share/bash-completion/completions/caravan share/zsh/site-functions/_caravan share/fish/vendor_completions.d/caravan.fish; do
    [ -s "home/.local/$file" ] || fail "it installs $file"
done
home/.local/bin/caravan up --listen 127.0.0.1:0 --api 127.0.0.1:0 --no-discovery --state-dir "$CARAVAN_TMP/state" --ready-fd 3 3>ports 2>node.log &
node=$!
tries=1200
until grep -q api ports; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { cat node.log; fail "the installed program runs a node"; }
    sleep 0.1
done
touch home/.local/lib/caravan-bundle/of-the-old-version home/.local/bin/mine
install --user "a release/$name" || { cat said; fail "it installs again"; }
[ ! -e home/.local/lib/caravan-bundle/of-the-old-version ] || fail "nothing of the old version stays"
home/.local/bin/caravan nodes --api "127.0.0.1:$(sed 's/.*"api":\([0-9]*\).*/\1/' ports)" --state-dir "$CARAVAN_TMP/state" >said || fail "the node of the old version goes on"
kill $node
wait $node || fail "the node of the old version ends in order"
install --user --undo || { cat said; fail "it is undone"; }
[ "$(find home/.local -type f -o -type l)" = home/.local/bin/mine ] || { find home/.local; fail "undone, nothing is left but what others put there"; }
mkdir -p prefix/bin
echo mine >prefix/bin/caravan
if install --prefix "$CARAVAN_TMP/prefix" "a release/$name"; then fail "it replaces no program that it did not install"; fi
[ "$(cat prefix/bin/caravan)$(find prefix/lib -name 'caravan*')" = mine ] || fail "a program that it did not install stays"
echo "ok - the install script installs, replaces a version under a running node, and takes itself away"

# ---- texts for other systems ----
formula=$CARAVAN_SOURCE/build/caravan.rb
if grep -n '@[A-Z]' "$formula"; then fail "everything is filled in in the formula"; fi
grep -q "url \"https://releases.example/v1/$name\"" "$formula" || fail "the formula names the archive"
grep -q "sha256 \"$(sha256sum "$archive" | cut -c1-64)\"" "$formula" || fail "the formula has the archive's hash"
for file in $(sed -n 's/.*\(share\/[^"*]*\).*/\1/p' "$formula") bin/caravan lib; do
    [ -e "$made/$file" ] || fail "the formula installs \"$file\", which is in the bundle"
done
sed -n 's/.*shell_output("#{bin}\/caravan \(.*\)").*/\1/p' "$formula" | while read -r words; do
    # shellcheck disable=SC2086 # several words
    "$made/bin/caravan" $words >said || fail "the formula's test runs: caravan $words"
done
! command -v ruby >/dev/null || ruby -c "$formula" >said || fail "the formula is Ruby"
[ "$(grep -cE '^ *(class|def|service do|test do)\b' "$formula")" = "$(grep -cE '^ *end$' "$formula")" ] || fail "every part of the formula ends"
if [ -d "$CARAVAN_SOURCE/.git" ] || [ -f "$CARAVAN_SOURCE/.git" ]; then
    macos=$CARAVAN_SOURCE/build/caravan-macos.rb
    if grep -n '@[A-Z]' "$macos"; then fail "everything is filled in in the formula for macOS"; fi
    source=$(sed -n 's|.*url "https://releases.example/v1/\(.*\)"|\1|p' "$macos")
    grep -q "sha256 \"$(sha256sum "$CARAVAN_SOURCE/build/$source" | cut -c1-64)\"" "$macos" || fail "the formula for macOS has the source's hash"
    tar -tzf "$CARAVAN_SOURCE/build/$source" | grep -q '/CMakeLists.txt$' || fail "the source is archived"
    # Every library that the build asks pkg-config for is a dependency, by Homebrew's name; avahi is Linux's.
    for library in $(sed -n 's/^set(CARAVAN_PKG_[a-z0-9]* \(.*\))/\1/p' "$CARAVAN_SOURCE/cmake/Dependencies.cmake" | tr -d '"' | tr ' ' '\n' | sed 's/>=.*//'); do
        case $library in
        avahi-core) continue ;;
        llama) library=llama.cpp ;;
        openssl) library=openssl@3 ;;
        libllhttp) library=llhttp ;;
        libblake3) library=blake3 ;;
        libcurl) library=curl ;;
        sqlite3) library=sqlite ;;
        esac
        grep -q "depends_on \"$library\"" "$macos" || fail "the formula for macOS depends on \"$library\""
    done
    ! command -v ruby >/dev/null || ruby -c "$macos" >said || fail "the formula for macOS is Ruby"
fi
if command -v python3 >/dev/null; then
    python3 - "$CARAVAN_SOURCE/packaging/caravan.plist" >words <<'END' || fail "launchd's list is one"
import plistlib, sys
plist = plistlib.load(open(sys.argv[1], "rb"))
assert {"Label", "ProgramArguments", "RunAtLoad", "KeepAlive"} <= plist.keys(), plist.keys()
assert plist["Umask"] == 0o27
print(*plist["ProgramArguments"][1:])
END
    # shellcheck disable=SC2046 # several words
    "$made/bin/caravan" $(cat words) --help >said || fail "the options of launchd's list exist: $(cat words)"
    if python3 -c 'import yaml' 2>/dev/null; then
        python3 - "$CARAVAN_SOURCE" >words <<'END' || fail "compose.yaml is sound"
import json, re, sys, yaml
top = sys.argv[1]
compose = yaml.safe_load(open(f"{top}/compose.yaml"))
options = set(re.findall(r'OPTION\(\w+, *"([a-z-]+)"', open(f"{top}/tables/options.def").read()))
docker = open(f"{top}/Dockerfile").read()
assert len(compose["services"]) == 3
for name, service in compose["services"].items():
    assert service["build"] == "." and service["hostname"] == name
    assert service["healthcheck"]["test"][0] == "CMD" and json.dumps(service["healthcheck"]["test"][1:]) in docker, "its health check is not the image's"
    for variable in service["environment"]:
        assert variable.removeprefix("CARAVAN_").lower().replace("_", "-") in options, variable
    for volume in service["volumes"]:
        source, target, *_ = volume.split(":")
        assert source.startswith("./") or source in compose["volumes"], volume
        assert f'"{target}"' in docker, f"{volume}: no volume of the image"
    for secret in service["secrets"]:
        assert secret in compose["secrets"]
        assert service["environment"]["CARAVAN_API_KEY_FILE"] == f"/run/secrets/{secret}"
    for other in service.get("depends_on", {}):
        assert other in compose["services"] and "HEALTHCHECK" in docker
    peer = service["environment"].get("CARAVAN_PEER")
    assert (peer is None) == (name == "one") and (peer is None or peer.split(":")[0] in compose["services"])
print("sound")
END
    fi
fi
echo "ok - formula, launchd's list and compose.yaml name what is there"

for tool in cpack dpkg-deb; do
    command -v $tool >/dev/null || { echo "# no $tool here: the package is not tried"; exit 0; }
done
CARAVAN_COMPRESSION=gzip "$CARAVAN_SOURCE/tools/deb.sh" >deb.log 2>&1 || { cat deb.log; fail "the package is made"; }
deb=$(find "$CARAVAN_SOURCE/build" -maxdepth 1 -name 'caravan_*.deb')
dpkg-deb -x "$deb" installed
dpkg-deb -e "$deb" control
for part in etc/caravan/config usr/lib/systemd/system/caravan.service usr/lib/sysusers.d/caravan.conf usr/share/man/man1/caravan-up.1.gz \
    usr/share/bash-completion/completions/caravan usr/share/zsh/vendor-completions/_caravan usr/share/doc/caravan/copyright; do
    [ -f "installed/$part" ] || fail "the package holds $part"
done
./installed/usr/bin/caravan --version | grep -q '^caravan ' || fail "the packaged program starts through its link in /usr/bin"
started=$(sed -n 's/^ExecStart=\([^ ]*\) .*/\1/p' installed/usr/lib/systemd/system/caravan.service)
[ -x "installed$started" ] || fail "the service starts a program of the package: $started"
options=$(sed -n 's/^ExecStart=[^ ]* //p' installed/usr/lib/systemd/system/caravan.service)
# What /proc/devices calls the cards: those of all makers, and of NVIDIA's older and newer drivers.
for device in drm kfd nvidia-frontend nvidia nvidiactl nvidia-uvm; do
    may=no
    for pattern in $(sed -n 's/^DeviceAllow=char-\([^ ]*\) rw$/\1/p' installed/usr/lib/systemd/system/caravan.service); do
        # shellcheck disable=SC2254 # systemd takes it as a pattern, too
        case $device in $pattern) may=yes ;; esac
    done
    [ $may = yes ] || fail "the service may use $device"
done
service=installed/usr/lib/systemd/system/caravan.service made=installed/usr/lib/sysusers.d/caravan.conf
grep -qx 'DeviceAllow=/dev/dxg rw' $service || fail "the service may use the card of WSL"
user=$(sed -n 's/^User=//p' $service)
grep -q "^u $user - " $made || fail "the package makes the service's user: $user"
for group in render video; do grep -qx "m $user $group" $made || fail "the service's user is in the group $group, which may use the cards"; done
# Nothing else may be written: the node's folders have to be those that systemd makes.
for folder in $(echo "$options" | grep -oE -e '--(state|models)-dir [^ ]+' | cut -d ' ' -f 2); do
    case " $(sed -n 's/^StateDirectory=//p' $service) " in
    *" ${folder#/var/lib/} "*) ;;
    *) fail "systemd makes the service's folder: $folder" ;;
    esac
done
case " $options " in *" --state-dir "*" --models-dir "*) ;; *) fail "the service has a folder for its state, and one for models" ;; esac
# shellcheck disable=SC2086 # several words
./installed/usr/bin/caravan $options --help >/dev/null || fail "the service's options exist: $options"
for script in postinst prerm postrm; do sh -n control/$script || fail "$script is a script of sh"; done
grep -qx /etc/caravan/config control/conffiles || fail "the config file survives upgrades"
echo "ok - the package holds program, service, manual pages and completions, and its service's program and options exist"
if command -v systemd-analyze >/dev/null; then
    sed "s|^ExecStart=[^ ]*|ExecStart=$PWD/installed/usr/bin/caravan|; /^Documentation=/d" installed/usr/lib/systemd/system/caravan.service >caravan.service
    systemd-analyze verify ./caravan.service >out 2>&1 || { cat out; fail "systemd takes the service"; }
    echo "ok - systemd takes the service"
fi
