# Two commands matter: `make demo` runs the whole shop on this machine, `make test` proves it.
# The first run makes .venv; nothing is installed outside this folder.

# Where it is set, each of the many processes of a demo or a test run compiles all our modules anew.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
RUN := .venv/bin/python
# `make check` needs no server, but settings that are complete.
SETTINGS := BACKROOM_VAR=/nonexistent DEBUG=false SITE_URL=https://shop.example ALLOWED_HOSTS=shop.example CLIENT_HEADER=X-Real-IP \
	SECRET_KEY=not-a-secret-only-here-so-that-settings-can-be-checked-0123456789 \
	DATABASE_URL=postgres://shop:none@127.0.0.1:9/none BROKER_URL=redis://:none@127.0.0.1:9/0 ALERT_MAIL_TO=oncall@shop.example

.PHONY: help demo ctl test test-core test-broker chaos soak mail-instant pictures naive outage fuzz check bench bench-quick scale versions smoke deploy-drill audit-dependencies sbom lock clean lint-containers
.DEFAULT_GOAL := help

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' Makefile

demo: .venv/.ready ## run the whole shop on this machine, place one order, stay until Ctrl-C
	@$(RUN) -m stack demo

ctl: ## DO="stop valkey" or DO=status: supervisorctl of the demo in BACKROOM_VAR
	@# 3: by DO=status alone, as processes that only the lab starts do not run.
	@$(RUN) -m supervisor.supervisorctl -c "$${BACKROOM_VAR:-var}/supervisord.conf" $(DO) || [ $$? -eq 3 ]

test: .venv/.ready ## run all tests in four processes, with servers of their own; can run beside a demo
	@$(RUN) -m pytest -n 4 tests

# The longest first. They wait half of their time.
CORE := $(addprefix tests/integration/test_, publisher.py beat.py ledger*.py worker.py database_trouble_of_jobs.py) \
	tests/unit/test_retry*.py
test-core: .venv/.ready ## in a minute: the ledger, the runtime, retries, and the ledger's properties
	@$(RUN) -m pytest -n 3 $(CORE)

test-broker: .venv/.ready ## BROKER=rabbitmq: the acceptance tests and the crash matrix's rows of the broker on it; else on each
	@$(RUN) -m tests.broker_suite $(BROKER)

chaos: .venv/.ready ## the crash matrix: break every process at every boundary, audit, write docs/crash-matrix.md
	@$(RUN) -m tests.chaos --write

soak: .venv/.ready ## MINUTES=30 of checkouts while something random breaks every few seconds; SEED= throws the same dice
	@MINUTES=$(MINUTES) SEED=$(SEED) $(RUN) -m tests.chaos.soak

mail-instant: .venv/.ready ## how often KILLS=1000 aimed at the instant after a mail's 250 make it go twice
	@$(RUN) -m pytest tests/chaos/mail_instant.py --quiet --capture=no

check: .venv/.ready ## style, banned words, types, the arrows between the rooms, migrations, safety of the settings
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	@$(RUN) tests/style/words.py
	$(SETTINGS) $(RUN) -m mypy .
	$(RUN) -c "from importlinter.cli import lint_imports_command; lint_imports_command()"
	$(SETTINGS) $(RUN) -W ignore manage.py makemigrations --check --dry-run
	$(SETTINGS) $(RUN) manage.py check --deploy --fail-level WARNING
	$(SETTINGS) $(RUN) -W ignore manage.py prometheus_rules | diff monitoring/prometheus/rules.yml -
	@$(MAKE) --no-print-directory lint-containers

# No engine is needed. Nothing of ours needs Node, so dclint runs where npx can get it, and elsewhere it is said.
DCLINT := npx --yes dclint@3.1.0
lint-containers: .venv/.ready
	.venv/bin/hadolint Dockerfile
	@if $(DCLINT) --version >/dev/null 2>&1; then $(DCLINT) --max-warnings=0 docker-compose.yml; \
	else echo "docker-compose.yml was not linted: dclint needs npx of Node.js 20.19 or newer, and its registry"; fi

pictures: .venv/.ready ## every page by day and by night, wide and as on a phone, into var/pictures
	@$(RUN) -m pytest tests/browser/pictures.py --quiet

naive: .venv/.ready ## each experiment of the lab in both shops without a ledger, and the reconciler after it
	@$(RUN) -m pytest tests/browser/test_lab.py -m "slow or not slow" -k "without_a_ledger or checklist or repairs"

outage: .venv/.ready ## 2,000 mails wait out a mail server, a batch of 10,000 five kills of all workers; an alert's minute
	@$(RUN) -m pytest tests/acceptance -m slow -s

FUZZ := var-fuzz/bin/schemathesis
fuzz: .venv/.ready var-fuzz/.ready ## the public fuzzer schemathesis, all its checks, against the API of a shop of its own; an audit
	@$(RUN) -m tests.fuzz $(CURDIR)/$(FUZZ)

AUDIT := var-audit/bin/pip-audit --strict --disable-pip --progress-spinner=off
audit-dependencies: var-audit/.ready ## known vulnerabilities of all that is pinned; fails, too, if it could not ask
	@# A service without an entry for a Django of 2021 would call ours safe, too.
	@echo django==3.2 | $(AUDIT) --no-deps --requirement /dev/stdin --format=json 2>/dev/null | grep -q '"fix_versions": \[\"' \
		|| { echo "nothing was audited: the service did not report the known vulnerabilities of Django 3.2"; exit 1; }
	@for each in requirements*.txt; do $(AUDIT) --require-hashes --requirement $$each || failed=1; done; exit $${failed:-0}

sbom: var-audit/.ready ## the image's Python packages with their hashes, CycloneDX, into var/sbom.json
	@mkdir -p var
	@var-audit/bin/cyclonedx-py requirements requirements.txt --output-reproducible --output-file var/sbom.json

define venv
@$(PYTHON) -m venv --clear $(@D)
@$(@D)/bin/pip install --quiet --disable-pip-version-check --only-binary=:all: --require-hashes --requirement $<
@touch $@
endef
var-bench/.ready: bench/requirements.txt
	$(venv)
var-%/.ready: requirements-%.txt
	$(venv)

# BENCH="idle start" measures only these again, and writes the document anew.
BENCH := jobs hurt rescue web checkout enqueue burst fair people imports batches growth scaling start idle pages
BENCH_QUICK := jobs hurt checkout enqueue growth start
bench: .venv/.ready var-bench/.ready ## all measurements, an hour on a quiet machine; writes docs/benchmarks.md
	@for each in $(BENCH) report; do var-bench/bin/python -m bench.$$each || exit 1; done

bench-quick: .venv/.ready var-bench/.ready ## the most telling ones in their short form, three minutes
	@for each in $(BENCH_QUICK) report; do BENCH_QUICK=1 var-bench/bin/python -m bench.$$each || exit 1; done

scale: .venv/.ready var-bench/.ready ## what an order and a burst of uploads cost here, and what more would; writes docs/scale.md
	@for each in order uploads scale; do var-bench/bin/python -m bench.$$each || exit 1; done

VERSIONS := tests/adopt tests/unit/test_checks.py $(addprefix tests/integration/test_, schedules.py cut_links.py)
versions: .venv/.ready var-nox/.ready ## the library's tests on each Python, Django and Celery it promises; smoke on each Python
	@mkdir -p var && rm -f var/versions/*.json
	@var-nox/bin/python -m nox -- $(CORE) $(VERSIONS); ran=$$?; \
		$(RUN) -m tests.versions var/versions/*.json && exit $$ran

smoke: .venv/.ready ## set up in a folder of its own, place 20 orders, wait, audit, exit
	@$(RUN) -m stack smoke

deploy-drill: .venv/.ready ## a rolling deploy and its way back under load, two releases mixed, and an audit
	@$(RUN) -m tests.drill

lock: .venv/.ready ## pin each requirements*.txt anew from its .in, with the hashes of all its files
	$(RUN) -m pip install --quiet pip-tools
	for each in requirements requirements-dev requirements-fuzz requirements-audit requirements-nox bench/requirements; do \
		$(RUN) -m piptools compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --no-emit-index-url --no-emit-find-links \
			--annotation-style=line --output-file=$$each.txt $$each.in || exit 1; \
	done

clean: ## remove .venv, var-fuzz, var-audit, var-bench, var-nox and var, the shop's data with them
	rm -rf .venv var-fuzz var-audit var-bench var-nox var

.venv/.ready: requirements.txt requirements-dev.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not here: install Python 3.11 or newer"; exit 1; }
	@$(PYTHON) stack/bootstrap.py
