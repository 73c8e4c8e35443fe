#!/usr/bin/env bash
# Prints docs/operating/settings.md from the programs' own option tables: settings_page.sh BIN
set -euo pipefail
cat <<'END'
# Settings

Made from the programs' option tables by `tests/support/dev/settings_page.sh build/release/bin`; a test holds it to them. A flag
stands over its environment variable, that over the file of `--config FILE` (lines `name = value`), that over the default. Secrets
are refused on the command line and in the file: they come from the environment or from a file of their own (`--NAME-file`).
END
for program in tally-producer tally-aggregator tally-exporter tally-admin; do
  echo
  "$1/$program" --print-settings-markdown
done
