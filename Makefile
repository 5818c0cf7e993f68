# Needs Python 3.11 or later with venv, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --no-deps --no-build-isolation
LOCK = echo setuptools | $(BIN)/uv pip compile --quiet pyproject.toml - --universal --python-version 3.11 --generate-hashes --no-annotate \
	--unsafe-package pip --custom-compile-command "make lock"

.PHONY: run test pure check lock laws dialects mutants chaos history year hostile docs bench clean
.DEFAULT_GOAL := run

# setuptools is in the locks and comes first, so that no build takes what has no hash. pip is the machine's own: it knows no extra of a
# pinned requirement, so that it resolves nothing here and checks afterwards.
$(VENV)/.run: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sed -n '/^setuptools==/,/[^\\]$$/p' requirements.lock > $(VENV)/setuptools.lock
	$(INSTALL) --require-hashes --requirement $(VENV)/setuptools.lock
	$(INSTALL) --require-hashes --requirement requirements.lock
	$(INSTALL) --editable .
	$(PIP) check
	touch $@

$(VENV)/.dev: $(VENV)/.run tests/requirements.lock
	$(INSTALL) --require-hashes --requirement tests/requirements.lock
	$(PIP) check
	touch $@

run: $(VENV)/.run     ## everything on this machine: sandbox, Prefect, first runs, schedules
	$(BIN)/hrsync up $(ARGS)

$(VENV)/.apt:         ## OpenSSH's server, Chromium and PgBouncer for the tests that need them: installed where that is possible
	command -v sshd >/dev/null || test -x /usr/sbin/sshd || (apt-get update -q && apt-get install -y -q --no-install-recommends openssh-server) \
		|| echo "no sshd, and it cannot be installed here: the tests that need it are skipped"
	command -v chromium >/dev/null || (apt-get update -q && apt-get install -y -q --no-install-recommends chromium fonts-liberation) \
		|| echo "no Chromium, and it cannot be installed here: the tests that need it are skipped"
	test -x /usr/sbin/pgbouncer || (apt-get update -q && apt-get install -y -q --no-install-recommends pgbouncer) \
		|| echo "no PgBouncer, and it cannot be installed here: the tests that need it are skipped"
	mkdir -p $(VENV) && touch $@

test: $(VENV)/.dev $(VENV)/.apt ## the suite, in three processes; the last test looks at what all of it has left
	rm -rf .evidence && mkdir .evidence
	TEST_EVIDENCE=$(CURDIR)/.evidence $(BIN)/python -m pytest -n 3 --dist worksteal -m "not soak and not last" $(ARGS)
	$(if $(ARGS),,TEST_EVIDENCE=$(CURDIR)/.evidence $(BIN)/python -m pytest tests/project/test_privacy.py -m last)
	rm -rf .evidence

pure: $(VENV)/.dev    ## the tests of reconciliation/ alone: no network, no database, no Prefect
	$(BIN)/python -m pytest tests/reconciliation -n 2 $(ARGS)

check: $(VENV)/.dev   ## linter, formatter, types, known vulnerabilities of what the locks install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/audit.py

lock: $(VENV)/.dev    ## writes both locks: what runs, and all extras; keeps the versions that are there unless ARGS=--upgrade
	$(LOCK) --all-extras --output-file tests/requirements.lock $(ARGS) >/dev/null
	$(LOCK) --constraint tests/requirements.lock --output-file requirements.lock $(ARGS) >/dev/null

EXAMPLES ?= 10000
laws: $(VENV)/.dev    ## 10,000 examples of each law: more than two hours; EXAMPLES=1000 for less
	HRSYNC_LAWS=$(EXAMPLES) $(BIN)/python -m pytest tests -n 2 -k test_law_ --timeout 14400 $(ARGS)

dialects: $(VENV)/.dev ## every test over the sandbox under both dialects of accessplanit
	HRSYNC_DIALECTS=both $(BIN)/python -m pytest tests -n 2 -k "standard or awkward" --timeout 1800 $(ARGS)

mutants: $(VENV)/.dev ## breaks the code on purpose and looks whether a law notices; writes docs/laws.md
	$(BIN)/python tests/mutants.py

chaos: $(VENV)/.dev   ## kills processes at hundreds of points, takes a thousand random steps and two thousand rounds of edits on both sides
	HRSYNC_CHAOS=whole $(BIN)/python -m pytest tests/chaos/test_chaos.py tests/chaos/test_stateful.py tests/chaos/test_two_way_edits.py tests/flows/test_process.py::test_twelve_runs_under_faults_end_where_an_undisturbed_run_ends tests/flows/receiver/test_webhooks.py tests/flows/receiver/test_receiver.py tests/flows/test_malformed_records.py tests/connectors/test_databases.py tests/chaos/test_alive.py --timeout 5400 $(ARGS)

history: $(VENV)/.dev ## plants 40 discrepancies among 200,000 awards, kills a historical reconciliation at ten points, runs one on a Dask cluster, asks 1,000 questions about random histories
	HRSYNC_HISTORY_TESTS=whole $(BIN)/python -m pytest tests/flows/history tests/connectors/store/test_versions.py -k "forty or killed or replay or dask" --timeout 1800 $(ARGS)

year: $(VENV)/.dev    ## a simulated year of 2,000 people, both directions, and 20,000 changes against the request budget
	HRSYNC_CHAOS=whole $(BIN)/python -m pytest -s tests/chaos/test_year.py tests/laws/test_two_owners.py -k "year or budget or rounds" --timeout 3600 $(ARGS)

.canaille:            ## a SCIM server that does much otherwise, in an environment of its own: its pins fit nobody else's
	$(PYTHON) -m venv $@
	$@/bin/python -m pip --disable-pip-version-check install --quiet 'canaille[front,server,scim,sqlite,oidc]==0.3.6' 'scim2-models==0.6.12' 'scim2-client==0.7.5'

hostile: $(VENV)/.dev .canaille ## the laws of HR systems against that server
	HRSYNC_CANAILLE=$(CURDIR)/.canaille/bin $(BIN)/python -m pytest tests/conformance -k canaille $(ARGS)

docs: $(VENV)/.dev    ## writes docs/processes.md and the tables of docs/hr-systems.md
	$(BIN)/python -m flows.console.mapping
	$(BIN)/python -m flows.console.systems_page

bench: $(VENV)/.dev   ## measures and prints; writes docs/benchmarks.md
	$(BIN)/python -m benchmarks $(ARGS)
	$(BIN)/python -m benchmarks.loads
	$(BIN)/python -m benchmarks.history

clean:
	rm -rf $(VENV) .hrsync build *.egg-info
