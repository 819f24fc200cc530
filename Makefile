# What people and .ci/run type. Needs git, make and any Python from 3.9 on with pip; `make` alone lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# Programs are started by the hundred: what Python has compiled is kept.
unexport PYTHONDONTWRITEBYTECODE

PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
# requirements-production.lock: without what tests and the demo need; requirements-otel.lock: that and the extra otel
LOCK := requirements.lock
# uv from the PATH when it works, else a private one in .uv
UV := $(shell if uv --version >/dev/null 2>&1; then echo uv; else echo .uv/bin/uv; fi)
UV_FILE := $(filter .uv/bin/uv,$(UV))
WITH_SERVERS = $(PYTHON) -m config.development.embedded exec --with-parent --state
FOR_A_RUN = $(PYTHON) -m config.development.embedded exec --with-parent --throw-away --state
TESTS ?= tests
PYTEST = $(PYTHON) -m pytest $(PYTEST_FLAGS)
# Released in trials before the newest; placement needs the library of its time.
EARLIER := radicale==3.2.3 openstack-placement==15.0.0 oslo.policy==5.1.0 kinto==26.4.0 pypiserver==2.4.1
# What the product has today; it is to come down to 60,000.
MOST_LINES := 92965
ROOT_COPY = /var/tmp/ringi-$(shell printf %s "$(realpath .)" | sha256sum | cut -c1-12)

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z.]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.uv/bin/uv:
	@for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10 python3.9 /usr/bin/python3; do \
	  if "$$python" -c 'import sys, pip; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; then \
	    echo "Fetching uv into .uv …"; rm -rf .uv; \
	    PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 \
	      exec "$$python" -m pip install --quiet --target .uv uv; \
	  fi; \
	done; echo "ringi: no Python from 3.9 on with pip was found, and no uv" >&2; exit 2

$(INSTALLED): $(LOCK) | $(UV_FILE)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null || { \
	  rm -rf .venv && $(UV) venv --quiet --python '>=3.12' .venv; }
	@echo "Installing the packages of $(LOCK) …"
	@$(UV) pip install --quiet --compile-bytecode --python $(PYTHON) --require-hashes -r $(LOCK)
	@touch $@

.PHONY: messages
messages: $(INSTALLED) ## compile the translations
	@$(PYTHON) -m config.development.compile_messages

.PHONY: demo
demo: messages ## play a release from plan to production and back (EXIT=1: end after the story)
	@exec $(PYTHON) -m config.development.processes demo --with-parent $(if $(EXIT),--exit)

.PHONY: up
up: messages ## an empty, usable system with servers of its own, for trials (PROCEDURE=folder: of one's own)
	@RINGI_TRIAL_PROCEDURE=$(PROCEDURE) exec $(PYTHON) -m config.development.processes up --with-parent

.PHONY: test
test: messages ## the test suite (TESTS=tests/audit for a part)
	@exec $(FOR_A_RUN) var/test -- $(PYTEST) -n 3 --dist loadfile --no-loadscope-reorder $(TESTS) --ignore=tests/browser --ignore=tests/chaos --ignore=tests/applications

.PHONY: lint
lint: messages ## style, types, layers, settings, migrations, translations
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	.venv/bin/djangofmt --check audit environments releases
	@exec $(FOR_A_RUN) var/lint -- sh -exc ' \
	  $(PYTHON) -m mypy -n 2 .; \
	  .venv/bin/lint-imports; \
	  RINGI_BASE_URL=https://localhost $(PYTHON) manage.py check --deploy --fail-level WARNING; \
	  $(PYTHON) manage.py makemigrations --check --dry-run'
	$(PYTHON) -m config.development.compile_messages --check

.PHONY: check
check: lint size test ## lint, size and test

.PHONY: size
size: ## lines of Python outside tests, migrations, benchmarks and the demo; more than MOST_LINES fail
	@lines=$$(git ls-files -z -- '*.py' ':!tests' ':!benchmarks' ':!*/migrations/*' ':!releases/demo' \
	  | xargs -0 cat | wc -l); echo "$$lines lines, at most $(MOST_LINES); the aim is 60000"; test "$$lines" -le $(MOST_LINES)

.PHONY: browser
browser: messages ## the pages in a real browser (SMOKE=1: the short run)
	@exec $(FOR_A_RUN) var/test -- $(PYTEST) tests/browser $(if $(SMOKE),-m smoke)

.PHONY: dump
dump: messages ## the database of this version, in use, for the upgrade tests of later versions
	@exec $(FOR_A_RUN) var/test -- $(PYTEST) tests/upgrade/dump_case.py

.PHONY: pictures
pictures: messages ## take the pictures of the documentation anew
	@RINGI_DOCS_PICTURES=docs/pictures exec $(FOR_A_RUN) var/test -- $(PYTEST) tests/browser/test_docs_pictures.py

.PHONY: fonts
fonts: messages ## cut the fonts again, after a page has got an icon that they lack
	@$(UV) venv --quiet --clear var/fonts && $(UV) pip install --quiet --python var/fonts/bin/python fonttools brotli
	@PYTHONPATH="$$($(PYTHON) -c 'import site; print(site.getsitepackages()[0])')" var/fonts/bin/python -m config.development.cut_fonts

.venv/.docs: requirements-docs.lock $(INSTALLED)
	@$(UV) pip install --quiet --compile-bytecode --python $(PYTHON) --require-hashes -r requirements-docs.lock
	@touch $@

.PHONY: docs
docs: .venv/.docs ## the documentation as a site, in var/site; every warning is an error
	@NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --quiet --strict
	@echo "var/site/index.html"

.PHONY: chaos
chaos: messages ## killed workers, stopped servers, sabotage of each chapter, long histories, an altered ledger (SMOKE=1: the short run)
	@RINGI_TEST_MIN_OPERATIONS=100 RINGI_TEST_TAMPER_STEP=1 RINGI_TEST_FULL_MATRIX=1 RINGI_TEST_EXAMPLES=100 exec $(WITH_SERVERS) var/chaos -- $(PYTEST) tests/chaos $(if $(SMOKE),-m smoke,tests/scenarios tests/audit/test_tamper.py tests/releases/api/test_contract.py)

var/applications/.installed: requirements-applications.lock tests/applications/earlier.lock | $(UV_FILE)
	@echo "Installing what is released in trials into var/applications …"
	@$(UV) venv --quiet --clear --python $(PYTHON) var/applications
	@$(UV) pip install --quiet --compile-bytecode --python var/applications/bin/python --require-hashes \
	  -r requirements-applications.lock
	@$(UV) pip install --quiet --no-deps --target var/applications/earlier --python var/applications/bin/python \
	  --require-hashes -r tests/applications/earlier.lock
	@touch $@

.PHONY: applications
applications: messages var/applications/.installed ## release what others wrote: plan, production, a broken version, rollback
	@exec $(FOR_A_RUN) var/test -- $(PYTEST) tests/applications

var/identity/.installed: tests/environments/single_sign_on/package-lock.json
	@echo "Installing identity providers into var/identity …"
	@mkdir -p var/identity && cp $(dir $<)package.json $< var/identity/
	@npm ci --prefix var/identity --no-audit --no-fund --silent
	@touch $@

.PHONY: identity
identity: messages var/identity/.installed ## single sign-on with real identity providers (needs Node.js)
	@exec $(FOR_A_RUN) var/test -- $(PYTEST) tests/environments/single_sign_on

.PHONY: kit
kit: messages ## install deploy/ in a bare Debian and bring a release to production there (root, Debian, mmdebstrap, podman)
	@exec $(PYTHON) -m tests.kit

.PHONY: release
release: messages ## the files of the tag at HEAD, with checksums and a signature, in var/release (RINGI_RELEASE_KEY=file)
	@exec $(PYTHON) -m tests.kit.release

.PHONY: upgrade
upgrade: messages ## the next version takes over from this one at work, and back (TO=commit: another next version)
	@RINGI_UPGRADE_TO=$(TO) exec $(FOR_A_RUN) var/test -- $(PYTEST) -q -s tests/upgrade/test_side_by_side.py

.PHONY: mutants
mutants: messages ## take each guard out in a copy; its test must fail
	@exec $(FOR_A_RUN) var/test -- $(PYTHON) -m tests.mutants

.PHONY: threats
threats: messages ## play each line of the table of threats (docs/explanation/threats.md)
	@exec $(FOR_A_RUN) var/test -- $(PYTHON) -m tests.threats

var/peers/.installed: requirements.lock requirements-peers.lock | $(UV_FILE)
	@echo "Installing what is measured beside ours into var/peers …"
	@$(UV) venv --quiet --clear --python $(PYTHON) var/peers
	@$(UV) pip install --quiet --compile-bytecode --python var/peers/bin/python --require-hashes \
	  -r requirements.lock -r requirements-peers.lock
	@touch $@

.PHONY: bench
bench: private PYTHON := $(if $(PEERS),var/peers/bin/python,$(PYTHON))
bench: messages $(if $(PEERS),var/peers/.installed) ## the measurements, as a table (PEERS=1: beside other libraries)
	@exec $(WITH_SERVERS) var/bench -- $(PYTHON) -m benchmarks

.PHONY: lock-installed
lock-installed: $(UV_FILE)
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header \
	  --extra demo --extra otel --group dev pyproject.toml --output-file requirements.lock
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header \
	  --constraint requirements.lock pyproject.toml --output-file requirements-production.lock
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header \
	  --constraint requirements.lock --extra otel pyproject.toml --output-file requirements-otel.lock

.PHONY: lock
lock: lock-installed ## pin all packages with their hashes
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header \
	  --constraint requirements.lock --group docs --output-file requirements-docs.lock
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header \
	  --constraint requirements.lock --group peers --output-file requirements-peers.lock
	$(UV) pip compile --quiet --universal --python-version 3.12 --generate-hashes --no-header \
	  --group applications --output-file requirements-applications.lock
	printf '%s\n' $(EARLIER) | $(UV) pip compile --quiet --universal --no-deps --python-version 3.12 --generate-hashes \
	  --no-header - --output-file tests/applications/earlier.lock

.PHONY: clean
clean: ## remove caches and what tests, benchmarks and demos left (var/up and .venv stay)
	rm -rf var/test var/lint var/chaos var/bench var/peers var/applications var/demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	rm -rf $(ROOT_COPY)/test-* $(ROOT_COPY)/lint-* $(ROOT_COPY)/chaos-* $(ROOT_COPY)/bench-* $(ROOT_COPY)/demo-*
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
