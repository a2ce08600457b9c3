# The commands a newcomer needs; `make` alone explains them. CMake does the building: `cmake --list-presets` shows the trees.
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
RELEASE := build/release
SOURCES = $(shell git ls-files '*.cc' '*.hpp' '*.c' '*.h')

.PHONY: help
help:
	@echo 'Sluice: one pointer, valid on the host and on every GPU.'
	@echo
	@echo '  make demo      watch managed memory move between the host and two software GPUs'
	@echo '  make demo-intel  the same cure on Intel'"'"'s real driver, which needs no GPU for it'
	@echo '  make demo-kfd  a mapping that fails on the third of four GPUs, as AMD'"'"'s user space takes it; needs no GPU'
	@echo '  make test      everything that must hold, also under the sanitizers (tens of minutes)'
	@echo
	@echo '  make build     build/release/bin/sluice and the libraries in build/release/lib'
	@echo '  make bench     what an access fault and a launch cost on this machine'
	@echo '  make mutants   plant bugs in the mapping code and the KFD face, one by one; the contract suites must find each'
	@echo '  make lint      clang-format, thread-safety analysis, clang-tidy'
	@echo '  make format    put the sources into the house format'
	@echo '  make install   into PREFIX (default $(PREFIX))'
	@echo '  make deps      only install the Debian packages that all of the above need'
	@echo '  make clean     remove build/'
	@echo
	@echo 'Each target first installs the Debian packages it needs and finds missing (with sudo unless root).'
	@echo 'CONTRIBUTING.md tells how to build and run one test area alone.'

.PHONY: deps deps-build deps-test deps-lint deps-intel deps-kfd
deps: deps-build deps-test deps-lint
deps-build deps-test deps-lint deps-intel deps-kfd: deps-%:
	@scripts/install_packages $*

# The first build of a fresh clone needs no test packages; a tree that already has the tests keeps them.
.PHONY: build
build: deps-build
	@test -f $(RELEASE)/CMakeCache.txt || cmake --preset release -DSLUICE_TESTS=OFF
	@cmake --build $(RELEASE) --parallel $(JOBS) --target product

.PHONY: demo
demo: build
	@$(RELEASE)/bin/sluice demo

.PHONY: demo-intel
demo-intel: build deps-intel
	@scripts/demo_intel $(RELEASE)

.PHONY: demo-kfd
demo-kfd: build deps-kfd
	@scripts/demo_kfd $(RELEASE)

# The release tests run last: they are the long ones, and the closing line is theirs.
.PHONY: test
test: deps-build deps-test
	@scripts/test_trees $(JOBS) asan tsan release

.PHONY: test-asan test-tsan test-ubsan
test-asan test-tsan test-ubsan: test-%: deps-build deps-test
	@scripts/test_trees $(JOBS) $*

.PHONY: mutants
mutants: deps-build deps-test
	@cmake --preset release -DSLUICE_TESTS=ON >/dev/null
	@cmake --build --preset release --parallel $(JOBS) --target mapping_mutants kfd_mutants
	@python3 tests/mapping/mutants.py . $(RELEASE)
	@python3 tests/kfd/mutants.py . $(RELEASE)

.PHONY: bench
bench: build
	@$(RELEASE)/bin/sluice bench faults
	@$(RELEASE)/bin/sluice bench launch

.PHONY: lint
lint: deps-build deps-test deps-lint
	clang-format-19 --dry-run -Werror $(SOURCES)
	cmake --preset lint
	cmake --build --preset lint --parallel $(JOBS)
	run-clang-tidy-19 -quiet -p build/lint -j $(JOBS) '^$(CURDIR)/(src|tools|examples)/'

.PHONY: format
format: deps-lint
	clang-format-19 -i $(SOURCES)

.PHONY: install
install: build
	cmake --install $(RELEASE) --prefix $(PREFIX)

.PHONY: clean
clean:
	rm -rf build
