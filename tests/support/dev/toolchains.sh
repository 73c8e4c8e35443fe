# shellcheck shell=bash
# What the drills of foreign clients are built with: Go, Node and a Java compiler (those on the PATH if they are new
# enough, else Debian's), and the libraries that producer/examples pins, into .tally/go and .tally/node. Only
# `./dev test --all` asks for it.

# is_at_least WANTED FOUND: by version, as in 1.19 1.26.8.
is_at_least() {
  [[ -n $2 && $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]
}

ensure_toolchains() {
  is_at_least 1.19 "$(go version 2>/dev/null | sed -n 's/^go version go\([0-9.]*\).*/\1/p')" || ensure_packages golang-go
  { is_at_least v18 "$(node --version 2>/dev/null)" && command -v npm >/dev/null; } || ensure_packages nodejs npm
  is_at_least 17 "$(javac -version 2>&1 | sed -n 's/^javac //p')" || ensure_packages openjdk-17-jdk-headless
  ensure_go_modules
  ensure_node_modules
}

ensure_go_modules() {
  local list=producer/examples/go/go.sum
  is_stamped "$STATE/go/installed" "$list" && return 0
  say "fetching the Go client's modules into .tally/go"
  mkdir -p "$STATE/go"
  # -modcacherw: whoever removes .tally may.
  try_again "go mod download" env -C "${list%/*}" GOTOOLCHAIN=local GOFLAGS=-modcacherw GOMODCACHE="$STATE/go/mod" \
    go mod download || refuse "deps: Go cannot fetch the modules of $list; is the network there?"
  stamp "$STATE/go/installed" "$list"
}

ensure_node_modules() {
  local list=producer/examples/node/package-lock.json
  is_stamped "$STATE/node/installed" "$list" && return 0
  say "installing the Node client into .tally/node"
  rm -rf "$STATE/node"
  mkdir -p "$STATE/node"
  cp "${list%/*}/package.json" "$list" "$STATE/node/"
  try_again "npm ci" env -C "$STATE/node" npm ci --silent --no-audit --no-fund ||
    refuse "deps: npm cannot install $list; is the network there?"
  stamp "$STATE/node/installed" "$list"
}
