# What a newcomer types. `make demo` and `make test` set up what is missing first.
# The environment keeps the Python it was made with.
PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)
RUN = .venv/bin

.PHONY: help setup demo up test check bench doctor clean

help:  ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## one virtual environment in .venv with ROS 2, the packages and our messages; does only what is missing
	@$(PYTHON) scripts/setup_environment.py

demo: setup  ## plays a synthetic scene through the node (or DATAROOT=.. VERSION=.. SCENE=.., or BAG=..; LOOP=1, BUNDLE=..)
	@$(RUN)/tinybev demo $(if $(DATAROOT),--dataroot "$(DATAROOT)") $(if $(VERSION),--version "$(VERSION)") \
	  $(if $(SCENE),--scene "$(SCENE)") $(if $(BAG),--bag "$(BAG)") $(if $(BUNDLE),--bundle "$(BUNDLE)") \
	  $(if $(RATE),--rate "$(RATE)") $(if $(OUT),--out "$(OUT)") $(if $(filter-out 0,$(LOOP)),--loop)

up: setup  ## starts the node and a Foxglove server (live cameras; `tinybev up --bag` plays a recording)
	@$(RUN)/tinybev up

test: setup check  ## every check and every test, each package's in a process of its own
	@failed=0; for tests in test training/test; do $(RUN)/python -m pytest $$tests || failed=1; done; exit $$failed

check: setup  ## formatting, lint, types, import rules, spelling
	@$(RUN)/ruff check . && $(RUN)/ruff format --check . && $(RUN)/mypy && $(RUN)/lint-imports && $(RUN)/codespell

bench: setup  ## every measurement that needs no dataset; with DATAROOT=.. VERSION=.. synchronizer and training too
	@$(RUN)/tinybev bench $(if $(DATAROOT),--dataroot "$(DATAROOT)") $(if $(VERSION),--version "$(VERSION)")

doctor: setup  ## checks the installation and says what to do
	@$(RUN)/tinybev doctor

clean:  ## removes .venv, build/ and out/, the bundles you trained too; leaves ~/.cache/tinybev (exports, int8)
	rm -rf .venv build out
