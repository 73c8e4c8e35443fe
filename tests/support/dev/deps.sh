# shellcheck shell=bash
# What ./dev installs: Debian packages (only the missing ones, never removing any), the Python clients
# into .tally/venv and Kafka's jars into .tally/kafka/libs.

# shellcheck disable=SC2034  # read by dev
base_packages=(g++ cmake ninja-build ccache pkg-config librdkafka-dev libpqxx-dev libpq-dev
  nlohmann-json3-dev libsimdjson-dev libfmt-dev libspdlog-dev libcli11-dev prometheus-cpp-dev
  libxxhash-dev libre2-dev libgtest-dev libgmock-dev libbenchmark-dev libboost1.81-dev libboost-context1.81-dev libabsl-dev librocksdb-dev tzdata libssl-dev kcat jq curl ca-certificates
  procps wrk git python3 python3-venv postgresql postgresql-client openjdk-17-jre-headless maven)
# Only for the sanitizers, lint and fmt.
# shellcheck disable=SC2034
clang_packages=(clang-19 clang-tidy-19 clang-format-19 clang-tools-19 libclang-rt-19-dev lld-19)

as_root() {
  if [[ $(id -u) == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    refuse "deps: packages are missing (${missing[*]}) and there is no sudo; install them as root."
  fi
}

# try_again WHAT COMMAND…: four attempts with growing pauses, for the network.
try_again() {
  local what=$1 attempt
  shift
  for attempt in 1 2 3 4; do
    if "$@"; then return 0; fi
    if ((attempt < 4)); then
      echo "  $what failed; trying again in $((attempt * 5)) s" >&2
      sleep $((attempt * 5))
    fi
  done
  return 1
}

is_installed() {
  [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# ensure_packages NAME…
ensure_packages() {
  local package plan removed
  missing=()
  command -v dpkg-query >/dev/null ||
    refuse "deps: this is not a Debian system; README.md names the libraries to install by hand."
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  try_again "apt-get update" as_root apt-get -q update || refuse "deps: apt-get update fails; see above."
  plan=$(apt-get -s install --no-install-recommends "${missing[@]}" 2>&1) || {
    printf '%s\n' "$plan" >&2
    refuse "deps: apt cannot install ${missing[*]}; its reason stands above (Debian 12 has them all)."
  }
  removed=$(awk '/^Remv / {print $2}' <<<"$plan" | paste -sd' ')
  if [[ -n $removed ]]; then
    refuse "deps: installing ${missing[*]} would remove $removed, so nothing was done; \
libboost1.81-dev and libboost-dev 1.74 exclude each other: remove those yourself, or work in a container."
  fi
  try_again "apt-get install" as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y --no-remove --no-install-recommends install "${missing[@]}" ||
    refuse "deps: apt-get install failed; see above."
}

# Stamps hold the checksum of the list that was installed, so a changed list is installed again.
is_stamped() { [[ -s $1 && $(<"$1") == "$(sha256sum <"$2")" ]]; }
stamp() { sha256sum <"$2" >"$1"; }

ensure_clients() {
  ensure_python
  ensure_kafka_jars
}

ensure_python() {
  local list=tests/support/stack/requirements.txt
  is_stamped "$STATE/venv/installed" "$list" && "$STATE/venv/bin/python" -c '' 2>/dev/null && return 0
  say "installing the Python clients into .tally/venv"
  mkdir -p "$STATE"
  # --copies is not needed: Debian's interpreter stays where it is. --clear mends a broken one.
  /usr/bin/python3 -m venv --clear "$STATE/venv" || refuse "deps: python3 -m venv failed; see above."
  try_again "pip install" "$STATE/venv/bin/pip" install -q --disable-pip-version-check -r "$list" ||
    refuse "deps: pip cannot install $list; is the network there?"
  stamp "$STATE/venv/installed" "$list"
}

ensure_kafka_jars() {
  local list=tests/support/stack/pom.xml libs=$STATE/kafka/libs
  is_stamped "$STATE/kafka/installed" "$list" && return 0
  say "fetching Apache Kafka from Maven Central into .tally/kafka"
  rm -rf "$libs"
  mkdir -p "$libs"
  try_again "mvn" mvn -q -B -f "$list" dependency:copy-dependencies "-DoutputDirectory=$libs" ||
    refuse "deps: Maven cannot fetch Kafka; is the network there?"
  stamp "$STATE/kafka/installed" "$list"
}
