# SPDX-License-Identifier: MIT
# The short way in: every target fetches what it needs, builds, and runs. CMake does the work (CMakeLists.txt, CMakePresets.json).
JOBS ?= $(shell nproc 2>/dev/null || sysctl -n hw.ncpu 2>/dev/null || echo 2)
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
RELEASE := build/release
MAKEFLAGS += --no-print-directory
CTEST := ctest --output-on-failure --no-tests=error -j$(JOBS)

.PHONY: all help demo test check lint format zoo bench fuzz install clean distclean test-vulkan asan tsan debug sysroot sysroot-test
.DEFAULT_GOAL := all

all: ## build ./caravan (fetches the libraries into build/sysroot where the system has none)
	@test -f $(RELEASE)/Makefile || cmake --preset release
	@cmake --build $(RELEASE) -j$(JOBS)
	@if [ -x $(RELEASE)/bin/caravan ]; then ln -sf $(RELEASE)/bin/caravan caravan; fi

help: ## list these targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

demo: all ## three nodes on this machine carry a model that fits none of them: plan, streamed answer, verdict
	@tools/demo.sh

test: all sysroot-test ## build and run every test (TESTS=REGEX: some): unit, simulated cluster, real processes, fuzz smoke, style and layers
	@cd $(RELEASE) && $(CTEST) $(if $(TESTS),-R $(TESTS))

check: lint test ## everything that must hold before a commit: the quick checks first, then every test

format: ## lay out all C sources as .clang-format says
	@tools/check-format.sh --fix

lint: all ## only the quick checks: style, format, layers, names, documents, libraries
	@cd $(RELEASE) && $(CTEST) -L check

zoo: all sysroot-test ## verify split against whole on a tiny model of every architecture; writes docs/ARCHITECTURES.md
	@tools/zoo.sh

bench: all sysroot-test ## measure against the unsplit model and llama.cpp's own RPC; writes docs/BENCHMARKS.md (SECTIONS="ring delay": some; QUICK=1; BEFORE: another build)
	@tests/bench/run.sh $(SECTIONS)

fuzz: ## fuzz every parser of foreign bytes with clang's libFuzzer (FUZZ_SECONDS=60 each)
	@tools/fuzz.sh --all $(FUZZ_SECONDS)

test-vulkan: all sysroot-test ## run slices on the GPU path, on Mesa's software driver
	@tools/test-vulkan.sh

debug asan tsan: ## build and run every test with that preset
	@test -f build/$@/Makefile || cmake --preset $@
	@cmake --build build/$@ -j$(JOBS)
	@cd build/$@ && $(CTEST)

install: ## install for good: PREFIX=/usr/local (DESTDIR is understood); independent of the build folder
	@tools/install.sh "$(PREFIX)" "$(DESTDIR)" "$(JOBS)"

sysroot: ## only fetch the libraries to build with
	@tools/sysroot.sh build

sysroot-test: ## only fetch llama.cpp's own tools and the software GPU driver, which some tests use
	@tools/sysroot.sh test

clean: ## remove what was built (the fetched libraries stay; `make distclean` removes them too)
	@rm -rf build/release build/debug build/asan build/tsan build/fuzz build/install caravan

distclean:
	@rm -rf build caravan
