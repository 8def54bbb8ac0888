.DEFAULT_GOAL := help
.PHONY: help env demo test lint format lock system-tools javascript-tools nnunet-tools viewer map-wheels map clean distclean

python := .venv/bin/python
# Tools of the environment first: monailabel looks for its own and for dcmqi's on the path.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

env: ## create .venv from requirements.txt, or bring it up to date
	@scripts/environment.sh

demo: env ## simulate a patient and run the whole way; on data of your own: make demo STUDY=folder [OUT=folder]
ifdef STUDY
	petlesion segment "$(STUDY)" -o $(if $(OUT),"$(OUT)",demo-output/study --overwrite)
else
	petlesion simulate -o demo-output/patient --tracer ga68-dotatate --seed 6 --dicom --resume
	petlesion segment demo-output/patient/*-000006/dicom -o demo-output/results --overwrite
	@echo; echo 'The report of the simulated patient: demo-output/results/report.pdf'
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] && command -v xdg-open > /dev/null; then \
	    xdg-open demo-output/results/report.pdf; fi
endif

# Small arrays gain nothing from many threads, and shared hosts lose a lot.
test: export OMP_NUM_THREADS := 2
test: export OPENBLAS_NUM_THREADS := 2
test: export ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS := 2
test: env system-tools javascript-tools nnunet-tools ## run all tests with coverage; options for pytest: make test ARGS="-k suv"
	@scripts/tests.sh $(ARGS)

lint: env ## check style, types and spelling
	@status=0; for check in "ruff check" "ruff format --check" mypy codespell; do \
	    echo "$$check" && $$check || status=1; done; exit $$status

format: env ## bring the code into the style that lint checks
	ruff check --fix
	ruff format

lock: env ## update requirements.txt from requirements.in; to newest versions: make lock UPGRADE=1
	uv pip compile requirements.in --override overrides.txt --python-version 3.11 \
	    --python-platform x86_64-manylinux_2_35 $(if $(UPGRADE),--upgrade) --quiet --output-file requirements.txt

system-tools: ## install Orthanc, chromium, dcmtk, dicom3tools, plastimatch, poppler-utils, podman, buildah (Debian, as root), or say what is missing
	@scripts/system-tools.sh

javascript-tools: ## install the JavaScript packages that some tests hold our objects and SUV against, or say what is missing
	@if ! command -v npm > /dev/null; then echo "npm is missing: tests against JavaScript are skipped" >&2; \
	elif [ ! tests/e2e/javascript/node_modules -nt tests/e2e/javascript/package-lock.json ]; then \
	    (cd tests/e2e/javascript && npm ci --ignore-scripts --loglevel=error && touch node_modules) \
	    || echo "npm could not install tests/e2e/javascript: tests against JavaScript are skipped" >&2; fi

# Beside the environment and without dependencies: nnU-Net's own would replace PyTorch.
nnunet-tools: env ## install nnU-Net v2 into build/nnunet, which some tests hold ours against, or say that it could not be
	@[ build/nnunet/nnunetv2 -nt tests/nnunet-requirements.txt ] \
	    || { rm -rf build/nnunet && $(python) -m pip --disable-pip-version-check -qq install --no-deps --no-compile \
	        --target build/nnunet -r tests/nnunet-requirements.txt && touch build/nnunet/nnunetv2; } \
	    || echo "pip could not install tests/nnunet-requirements.txt: tests against nnU-Net are skipped" >&2

viewer: ## fetch OHIF into build/ohif, and build the mode PET lesions (Node 20, npm)
	cd viewer && npm ci --no-audit --no-fund && npm run build && npm run ohif

base_image := $(or $(BASE_IMAGE),localhost/petlesion-base:bookworm)

map-wheels: env ## gather the wheels of the deployed application's image into build/map/wheels
	deploy_app/build-image wheels

map: map-wheels ## build that image, without a network (podman, buildah, debootstrap; as root); `make test` then tests it
ifndef BASE_IMAGE
	podman image exists $(base_image) || deploy_app/build-image base
endif
	BASE_IMAGE=$(base_image) deploy_app/build-image image

clean: ## remove caches, build products and demo output
	rm -rf build dist demo-output .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name .venv -prune -o -name node_modules -prune -o \
	    \( -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +

distclean: clean ## remove the environment too
	rm -rf .venv .venv.lock
