# Everything runs in this repository's own .venv, which `setup` makes; nothing needs to be activated or sourced.
PYTHON ?= python3
IN_ENV := scripts/with_env
DEMO_ARGS := $(if $(SEQ),--seq="$(SEQ)") $(if $(VIDEO),--video="$(VIDEO)" --box="$(BOX)")

.PHONY: help setup setup-dev demo lint test clean

help:
	@echo "make demo                            play a clip made on the spot to the tracker node, write build/demo/"
	@echo "make demo SEQ=DIR                    the same with a sequence folder (img/, groundtruth.txt)"
	@echo "make demo VIDEO=FILE BOX=x,y,w,h     the same with a video and the target's box in its first frame"
	@echo "make test                            linters, types, all tests; the core's tests again with numpy 1.26"
	@echo "make lint                            linters and types alone"
	@echo "make setup                           what make demo needs: .venv, ROS 2, colcon build (no torch)"
	@echo "make clean                           remove what was built; .venv and .venv-numpy1 stay"

setup:
	@$(PYTHON) scripts/setup_env.py

setup-dev:
	@$(PYTHON) scripts/setup_env.py --dev

demo: setup
	@$(IN_ENV) python -m demo.run $(DEMO_ARGS)

lint: setup-dev
	$(IN_ENV) ruff check .
	$(IN_ENV) ruff format --check .
	$(IN_ENV) mypy

# With STIF_REQUIRE_ROS a test that does not find the built messages fails instead of being skipped.
test: lint
	STIF_REQUIRE_ROS=1 $(IN_ENV) python -m pytest
	@echo "The core's tests with numpy 1.26, without torch and ROS:"
	.venv-numpy1/bin/python -m pytest

clean:
	rm -rf build install log setup.log .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info
