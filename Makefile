# Two commands, `make app` and `make test`. The README gives the plain pip lines they stand for.
# Kept to what GNU make 3.81 and a POSIX shell know: that is what macOS ships.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check

.PHONY: app test

app: $(VENV)/app.stamp
	$(PY) app.py

test: $(VENV)/test.stamp node_modules/.stamp
	$(PY) tests/javascript.py
	$(PY) tests/browser/chromium.py
	$(PY) -m pytest -q -m "not browser" -n auto --dist loadfile
	$(PY) -m pytest -q -m browser

# The stamps make a second run quick: pip only runs again when a requirements file is newer.
$(VENV)/app.stamp: requirements.txt | $(VENV)/bin/activate
	$(PIP) install -r requirements.txt
	@touch $@

$(VENV)/test.stamp: requirements.txt requirements-dev.txt | $(VENV)/bin/activate
	$(PIP) install -r requirements-dev.txt
	@touch $(VENV)/app.stamp $@

# Where there is no Node, tests/javascript.py says so; the rest of the tests does without.
node_modules/.stamp: package.json package-lock.json
	@if command -v npm >/dev/null; then npm ci --ignore-scripts --no-audit --no-fund && touch $@; fi

# venv writes bin/activate last, after pip, so a half-made environment is made again.
$(VENV)/bin/activate:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed. To name one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	  echo "Python's venv is missing. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
