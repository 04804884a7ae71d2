# `make demo` and `make test` are all that a newcomer needs. Both install what is missing, say what they do, and
# leave the machine's own libvirt alone: everything runs in a private libvirtd in namespaces of its own.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo --preserve-env=PYTHONDONTWRITEBYTECODE,RECONCILER_CACHE)
export PYTHONDONTWRITEBYTECODE := 1
export DEBIAN_FRONTEND := noninteractive

# The daemon and its drivers without the service packages that would start them.
PACKAGES := libvirt-daemon libvirt-daemon-driver-qemu libvirt-daemon-config-nwfilter libvirt-clients libvirt-dev \
  pkg-config gcc libc6-dev python3-dev python3-venv qemu-system-x86 ebtables iptables nftables iproute2 util-linux \
  git busybox-static cpio kmod openssh-client gnupg openssl strace systemd
# Releases of Debian, each with the programs by which its libvirt makes rules.
MATRIX ?= bookworm/iptables trixie/iptables sid/iptables sid/nftables
# Newer releases keep these apart; where they do not exist they are part of the packages above.
SPLIT_PACKAGES := libvirt-daemon-driver-nwfilter libvirt-daemon-log libvirt-daemon-common

FUZZ_SECONDS ?= 600

.PHONY: help demo scenes fuzz test test-full test-matrix capture debootstrap check lint format bench install compiled packages rights clean

help: ## what there is to run
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: install ## the main job on a private libvirt with three real guests, as a story
	@echo "== demo: a private libvirtd, three guests, one repository"
	@$(SUDO) $(CURDIR)/$(BIN)/python -m reconciler.lab.demo

scenes: install ## from a push to the kernel and back into the repository, with a Git server and a lab, as a story
	@$(SUDO) $(CURDIR)/$(BIN)/python -m pytest -q -s -p no:cacheprovider tests/lab/test_scenes.py

test: install ## every test, the long random ones as a seeded sample
	@echo "== test: unit, golden, layers, and the lab's tests on a private libvirtd"
	@$(SUDO) $(CURDIR)/$(BIN)/python -m pytest -n auto -p no:cacheprovider -m "not lab and not server"
	@$(SUDO) $(CURDIR)/$(BIN)/python -m pytest -n 2 --dist loadfile -p no:cacheprovider -m lab
	@$(SUDO) $(CURDIR)/$(BIN)/python -m pytest -p no:cacheprovider -m "server and not lab"

test-full: install ## every test without a limit on the random ones
	@$(SUDO) $(CURDIR)/$(BIN)/python -m pytest -p no:cacheprovider --full

fuzz: install ## random filters against libvirt, the parser, the rules and the mends, for FUZZ_SECONDS (600)
	@end=$$(( $$(date +%s) + $(FUZZ_SECONDS) )); round=0; \
	while [ $$(date +%s) -lt $$end ]; do round=$$(( round + 1 )); echo "== round $$round"; \
	  $(SUDO) $(CURDIR)/$(BIN)/python -m pytest -q -x -p no:cacheprovider --fuzz -m fuzz; done

test-matrix: install debootstrap ## the lab's tests on libvirt 9.0, 11.3, 12.8 with iptables, and 12.8 with nftables
	@failed=; for each in $(MATRIX); do \
	  echo "== test-matrix: $$each"; \
	  $(SUDO) env RECONCILER_LAB_RELEASE=$${each%/*} RECONCILER_LAB_BACKEND=$${each#*/} \
	    $(CURDIR)/$(BIN)/python -m pytest -q -p no:cacheprovider tests/lab || failed="$$failed $$each"; \
	done; [ -z "$$failed" ] || { echo "test-matrix: failed on$$failed" >&2; exit 1; }

capture: install debootstrap ## write the rules that other releases of libvirt make to tests/samples/captured
	@$(SUDO) $(CURDIR)/$(BIN)/python tests/lab/capture.py

debootstrap: rights
	@command -v debootstrap >/dev/null || { $(SUDO) apt-get update -qq; $(SUDO) apt-get install -y -qq debootstrap >/dev/null; }

check: compiled lint ## format, lint, types, layers, unit and golden tests: no host and no server needed
	@$(BIN)/python -m pytest -q -n auto -p no:cacheprovider -m "not lab and not server"

lint: $(VENV)/installed ## ruff and mypy --strict
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy

format: $(VENV)/installed ## write the code as ruff formats it
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

# The cache holds the peers' environments, as it holds the labs' images; BENCH has options of `python -m bench`.
bench: install ## what a run costs beside what people use today: a table, a chart and JSON (BENCH="--only noop --rounds 3")
	@mkdir -p build && touch build/bench.json build/bench.svg
	@$(SUDO) $(CURDIR)/$(BIN)/python -m bench --json build/bench.json --chart build/bench.svg $(BENCH)

install: packages $(VENV)/installed compiled

# Nobody but this target writes byte code, so that no file of root's is left in a checkout; without it each process of
# the suite would compile all modules again.
compiled: $(VENV)/installed
	@$(BIN)/python -m compileall -q reconciler

packages: rights
	@missing=$$(for p in $(PACKAGES); do \
	    dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	if [ -n "$$missing" ]; then \
	  echo "== installing system packages:" $$missing; \
	  $(SUDO) apt-get update -qq; \
	  for p in $(SPLIT_PACKAGES); do apt-cache show $$p >/dev/null 2>&1 && missing="$$missing $$p"; done; \
	  $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

rights:
	@if [ "$$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then \
	  echo "This needs root: it installs packages and starts a libvirtd in namespaces of its own." >&2; \
	  echo "Run it as root, or install sudo: su -c 'make $(or $(MAKECMDGOALS),test)'" >&2; exit 1; fi

$(VENV)/installed: pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 …" >&2; exit 1; }
	@pkg-config --exists libvirt 2>/dev/null || $(MAKE) -s packages
	@echo "== making the virtual environment $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --config-settings editable_mode=compat --editable .
	@touch $@

clean: ## remove the virtual environment and caches of this checkout
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
