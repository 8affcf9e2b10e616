# SPDX-License-Identifier: MIT
# The short way in: every target fetches what it needs, builds, and runs. CMake does the work (CMakeLists.txt, CMakePresets.json);
# CMAKE_GENERATOR=Ninja, where that is installed, makes building everything cost less than half of the processor time.
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
RELEASE := build/release
MAKEFLAGS += --no-print-directory
# Two places a core, and one more: a test takes two, one that mostly waits takes one (cmake/Tests.cmake).
CTEST := ctest --output-on-failure --no-tests=error -j$(shell echo $$((2 * $(JOBS) + 1)))

.PHONY: program all help demo image screenshots test check lint format zoo bench fuzz install bundle deb clean distclean test-vulkan test-cpus test-arm64 check-macos asan tsan debug sysroot sysroot-test
.DEFAULT_GOAL := program

program: ## build ./caravan; `make` alone does it (fetches the libraries into build/sysroot where the system has none)
	@test -f $(RELEASE)/CMakeCache.txt || cmake --preset release
	@cmake --build $(RELEASE) -j$(JOBS) --target caravan
	@if [ -x $(RELEASE)/bin/caravan ]; then ln -sf $(RELEASE)/bin/caravan caravan; fi

all: program ## build the tests and tools too
	@cmake --build $(RELEASE) -j$(JOBS)

help: ## list these targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: program ## three nodes on this machine carry a model that fits none of them: plan, streamed answer, verdict
	@tools/demo.sh

test: all sysroot-test ## build and run every test (TESTS=REGEX: some): unit, simulated cluster, real processes, fuzz smoke, style and layers
	@cd $(RELEASE) && $(CTEST) $(if $(TESTS),-R $(TESTS))

check: lint test ## everything that must hold before a commit: the quick checks first, then every test

format: ## lay out all C sources as .clang-format says
	@tools/check-format.sh --fix

lint: program ## only the quick checks: style, format, layers, names, documents, libraries
	@cd $(RELEASE) && $(CTEST) -L check

zoo: all sysroot-test ## verify split against whole on a tiny model of every architecture; writes docs/ARCHITECTURES.md; then talks with those cut by injection
	@tools/zoo.sh
	@cd $(RELEASE) && CARAVAN_ZOO_TALKS=all $(CTEST) -R '^e2e_zoo_talks_mjs$$'

bench: all sysroot-test ## measure against the unsplit model and llama.cpp's own RPC; writes docs/BENCHMARKS.md (SECTIONS="ring delay": some; QUICK=1; BEFORE: another build)
	@tests/bench/run.sh $(SECTIONS)

fuzz: ## fuzz every parser of foreign bytes with clang's libFuzzer (FUZZ_SECONDS=60 each)
	@tools/fuzz.sh --all $(FUZZ_SECONDS)

image: ## run the steps of the Dockerfile without Docker, and its health check (as root, needs mmdebstrap; takes a while); compose.yaml, where an engine answers
	@packaging/try-dockerfile.sh
	@packaging/try-compose.sh

screenshots: program ## make the pictures of the web page in docs/ (needs node, npm and Chromium)
	@CARAVAN_SOURCE=$(CURDIR) CARAVAN_BUILD=$(CURDIR)/$(RELEASE) CARAVAN=$(CURDIR)/$(RELEASE)/bin/caravan tests/e2e/run.sh $(CURDIR)/tools/screenshots.mjs

test-vulkan: all sysroot-test ## run slices on the GPU path, on Mesa's software driver
	@tools/test-vulkan.sh

test-cpus: all ## run the engine on every variant of ggml's CPU backend that this machine can run, and a ring of two variants (needs the private sysroot)
	@tools/test-cpus.sh

test-arm64: all sysroot-test ## cross-build for 64-bit ARM and run it under qemu: unit tests, verify, zoo, demo, a ring of both processors (slow)
	@tools/test-arm64.sh

check-macos: ## compile and link for macOS on arm64 with clang and lld (CARAVAN_MACOS_SDK: the folder of an SDK); it runs nothing
	@tools/check-macos.sh

debug asan tsan: ## build and run every test with that preset
	@test -f build/$@/CMakeCache.txt || cmake --preset $@
	@cmake --build build/$@ -j$(JOBS)
	@cd build/$@ && $(CTEST)

install: ## install for good: PREFIX=/usr/local (DESTDIR is understood); independent of the build folder
	@tools/install.sh "$(PREFIX)" "$(DESTDIR)" "$(JOBS)"

bundle: ## an archive that runs where it is unpacked, on any Linux of this architecture: build/caravan-*.tar.xz (URL=https://...: and its Homebrew formula)
	@URL="$(URL)" tools/bundle.sh "$(JOBS)"

deb: bundle ## a package for Debian and Ubuntu with a systemd service: build/caravan_*.deb
	@tools/deb.sh

sysroot: ## only fetch the libraries to build with
	@tools/sysroot.sh build

sysroot-test: ## only fetch what some tests use: llama.cpp's own tools, the software GPU driver, shells
	@tools/sysroot.sh test
	@tools/sysroot.sh shells

clean: ## remove what was built (the fetched libraries stay; `make distclean` removes them too)
	@rm -rf build/release build/debug build/asan build/tsan build/fuzz build/arm64 build/macos build/bundle caravan

distclean:
	@rm -rf build caravan
