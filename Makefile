# Set-up-and-go targets; each makes what it needs in its own virtual environment.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
HAPCTL_TEST_DATA ?= ../shared/data
export HAPCTL_TEST_DATA
# The build warns at length of what is meant so (an editable install, extensions named in pyproject.toml).
INSTALL = PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet
SOURCES := pyproject.toml $(wildcard ext/*.pyx ext/*.pxi ext/*.pxd ext/*.h)

.PHONY: demo test lint bench asan types clean

demo: $(VENV)/.installed
	$(BIN)/hapctl demo

# The longest modules come first, so that no process ends long before the other.
TESTS = $(wildcard tests/test_*.py) $(addprefix tests/,cli processing astrometry archive ext)

test: $(VENV)/.test
	$(BIN)/python -m pytest -n 2 --dist loadscope $(TESTS)

lint: $(VENV)/.lint types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy build/types/hapctl
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/cython-lint ext
	$(BIN)/lint-imports

bench: $(VENV)/.test
	$(BIN)/python tests/benchmarks/run.py

# The compiled kernels under AddressSanitizer and UBSan, beside the usual ones, and the tests that call them directly.
SANITIZED := build/asan/hapctl
SANITIZERS := -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=undefined,float-cast-overflow -fno-omit-frame-pointer -g -O1
INCLUDES = $(shell $(BIN)/python -c "import sysconfig; print(sysconfig.get_path('include'))")

asan: $(VENV)/.test $(VENV)/.lint $(patsubst ext/%.pyx,$(SANITIZED)/ext/%.so,$(wildcard ext/*.pyx))
	cp ext/*.py $(SANITIZED)/ext/
	for floor in archive cli processing sql; do ln -sfn ../../../$$floor $(SANITIZED)/$$floor; done
	PYTHONPATH=build/asan LD_PRELOAD="$$($(CC) -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 \
		$(BIN)/python -m pytest tests/ext $(patsubst %,tests/processing/test_%.py,blot combine comparison)

$(SANITIZED)/ext/%.so: ext/%.pyx $(SOURCES)
	mkdir -p $(@D)
	$(BIN)/cython -3 --module-name hapctl.ext.$* -I ext -o $(@:.so=.c) $<
	$(CC) -shared -fPIC -fwrapv -ffp-contract=off $(SANITIZERS) -Iext -I$(INCLUDES) $(@:.so=.c) -o $@ -lm

# A type checker finds the packages through a small tree of links (the package folders lie at the top).
types:
	mkdir -p build/types/hapctl
	for floor in archive cli ext processing sql; do ln -sfn ../../../$$floor build/types/hapctl/$$floor; done

$(VENV)/.installed: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --upgrade pip
	$(INSTALL) --editable .
	touch $@

$(VENV)/.test: $(VENV)/.installed
	$(INSTALL) --editable ".[test]"
	touch $@

$(VENV)/.lint: $(VENV)/.installed
	$(INSTALL) --editable ".[lint]"
	touch $@

clean:
	rm -rf $(VENV) build ext/*.c ext/*.so
