# shellcheck shell=bash
# A private Apache Kafka in DIR/kafka: one KRaft node on two free loopback ports. Its jars come from
# Maven Central by pom.xml into TALLY_ROOT/.tally/kafka/libs (`./dev deps`). With
# TALLY_BROKER_GATE="PORT GATE-PORT" it also listens on PORT and sends the clients that come there to
# GATE-PORT, where a drill's gate stands. TALLY_BROKER_JOIN_DELAY_MS: how long a new consumer group
# waits for more members (Kafka's own default is 3000; tests do not wait). TALLY_BROKER_CLOCK="LIBRARY FILE":
# the broker's clock is off by the seconds in FILE (tests/support/clock). TALLY_BROKER_LISTENERS="NAME:PORT:PROTOCOL …":
# it also listens on these ports, by SSL or SASL; what they need more stands in the properties of the file TALLY_BROKER_PROPERTIES.
# TALLY_BROKER_JAVA: an option more for its JVM.

kafka_libs() {
  printf '%s' "$TALLY_ROOT/.tally/kafka/libs"
}

kafka_bootstrap() {
  printf '127.0.0.1:%s' "$(cut -d' ' -f1 "$1/kafka.ports")"
}

# kafka_java OPTIONS CLASS ARGUMENTS…: runs one of Kafka's own tools.
kafka_java() {
  java -cp "$(kafka_libs)/*" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn "$@"
}

# A killed broker is let in again when its session has ended: 9 s later unless told otherwise.
write_kafka_properties() {
  local dir=$1 port=$2 controller_port=$3 gate='' advertised_gate='' gate_protocol='' gate_ports more name at
  if [[ -n ${TALLY_BROKER_GATE:-} ]]; then
    read -r -a gate_ports <<<"$TALLY_BROKER_GATE"
    gate=,GATE://127.0.0.1:${gate_ports[0]}
    advertised_gate=,GATE://127.0.0.1:${gate_ports[1]}
    gate_protocol=,GATE:PLAINTEXT
  fi
  for more in ${TALLY_BROKER_LISTENERS:-}; do
    IFS=: read -r name at more <<<"$more"
    gate+=,$name://127.0.0.1:$at
    advertised_gate+=,$name://127.0.0.1:$at
    gate_protocol+=,$name:$more
  done
  cat >"$dir/kafka/server.properties" <<END
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller_port
controller.listener.names=CONTROLLER
listeners=CLIENT://127.0.0.1:$port$gate,CONTROLLER://127.0.0.1:$controller_port
advertised.listeners=CLIENT://127.0.0.1:$port$advertised_gate
inter.broker.listener.name=CLIENT
listener.security.protocol.map=CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT$gate_protocol
log.dirs=$dir/kafka/data
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=${TALLY_BROKER_JOIN_DELAY_MS:-0}
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
num.recovery.threads.per.data.dir=2
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
log.segment.bytes=268435456
END
  [[ -z ${TALLY_BROKER_PROPERTIES:-} ]] || cat "$TALLY_BROKER_PROPERTIES" >>"$dir/kafka/server.properties"
}

# start_kafka DIR: formats the storage when new, starts the broker and waits until it answers.
# DIR/kafka.ports keeps "client-port controller-port".
start_kafka() {
  local dir port controller_port attempt
  dir=$(readlink -m "$1")
  is_running "$dir" kafka && return 0
  [[ -d $(kafka_libs) ]] || { stack_fail "Kafka's jars are missing: run ./dev deps"; return 1; }
  mkdir -p "$dir/kafka" "$dir/log" || return 1
  for attempt in 1 2 3; do
    if ! read -r port controller_port 2>/dev/null <"$dir/kafka.ports"; then
      port=$(free_port)
      controller_port=$(free_port)
    fi
    echo "$port $controller_port" >"$dir/kafka.ports"
    start_kafka_once "$dir" "$port" "$controller_port" && return 0
    stop_process "$dir" kafka 5
    rm -f "$dir/kafka.ports"
    ((attempt < 3)) && echo "  trying Kafka on other ports" >&2
  done
  return 1
}

start_kafka_once() {
  local dir=$1 clock=()
  write_kafka_properties "$dir" "$2" "$3" || return 1
  if [[ ! -s $dir/kafka/data/meta.properties ]]; then
    kafka_java -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format --cluster-id dGFsbHktdGVzdC1jbHVzdA \
      --config "$dir/kafka/server.properties" >"$dir/log/kafka-format.log" 2>&1 || {
      tail -n 15 "$dir/log/kafka-format.log" >&2
      stack_fail "Kafka's storage could not be formatted; see $dir/log/kafka-format.log"
      return 1
    }
  fi
  if [[ -n ${TALLY_BROKER_CLOCK:-} ]]; then
    clock=(env "LD_PRELOAD=${TALLY_BROKER_CLOCK%% *}" "TALLY_MOVED_CLOCK=${TALLY_BROKER_CLOCK#* }")
  fi
  start_process "$dir" kafka TERM "${clock[@]}" java "-Xms${TALLY_BROKER_HEAP:-512m}" "-Xmx${TALLY_BROKER_HEAP:-1g}" \
    ${TALLY_BROKER_JAVA:+"$TALLY_BROKER_JAVA"} -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true \
    -cp "$(kafka_libs)/*" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
    kafka.Kafka "$dir/kafka/server.properties" || return 1
  await 240 "$dir" kafka kcat -q -b "127.0.0.1:$2" -L -m 2
}

# create_topic DIR [NAME] [--partitions N]: from schemas/topics/usage.events.json; an existing topic
# must agree with it.
create_topic() {
  local dir=$1
  shift
  "$TALLY_ROOT/.tally/venv/bin/python" "$TALLY_ROOT/tests/support/stack/create_topic.py" \
    "$(kafka_bootstrap "$dir")" "$TALLY_ROOT/schemas/topics/usage.events.json" "$@"
}

# wipe_kafka DIR: removes the stopped broker's log.
wipe_kafka() {
  is_running "$1" kafka && { stack_fail "Kafka of $1 still runs: stop it first"; return 1; }
  rm -rf "$1/kafka" "$1/kafka.ports"
}
