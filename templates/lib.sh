# shellcheck shell=sh
# What the scripts of a pod share. Each reads it first; the values come from cluster.env.

# settings: read them again, since the charm may write others while a script runs.
settings() {
    # shellcheck source=/dev/null
    . /etc/redis-k8s/cluster.env
}

# say WORDS…: a line for the log of the pod, headed by the script's topic.
topic=script
say() { echo "$topic: $*"; }

# now_ms: milliseconds on a clock that nobody sets.
now_ms() {
    read -r uptime _ </proc/uptime
    echo "${uptime%.*}${uptime#*.}0"
}

# attempts NUMBER PAUSE_S COMMAND…: repeat a check until it holds; false if it never did.
attempts() {
    attempts_left=$1 attempts_pause_s=$2
    shift 2
    until "$@"; do
        attempts_left=$((attempts_left - 1))
        [ "$attempts_left" -gt 0 ] || return 1
        sleep "$attempts_pause_s"
    done
}

# tell: wake the charm, now.
live=/etc/redis-k8s/live
tell() {
    now_ms >"$live/told"
    HOME=/tmp /charm/bin/pebble notify "$NOTICE_KEY" >/dev/null
}

# tell_soon: wake the charm within a second. A hook costs it much, and what happens comes in bursts:
# the first that calls this waits and tells for all that do meanwhile, unless another tells, or
# "wake", which does at its end, is under way.
tell_soon() {
    now_ms >"$live/happened"
    is_recent waking "$WAKING_LIMIT_MS" && return
    is_recent telling "$TELLING_LIMIT_MS" && return
    now_ms >"$live/telling"
    sleep "$TELL_SOON_S"
    rm -f "$live/telling"
    [ "$(noted told)" -gt "$(noted happened)" ] || tell
}

# noted FILE: the time in it; 0 if there is none.
noted() {
    noted_ms=0
    [ -e "$live/$1" ] && read -r noted_ms <"$live/$1"
    echo "${noted_ms:-0}"
}
# is_recent FILE LIMIT_MS: it is there, and its time is no longer ago than that. Who wrote it may have
# been killed.
is_recent() {
    [ -e "$live/$1" ] || return 1
    age_ms=$(($(now_ms) - $(noted "$1")))
    [ "$age_ms" -ge 0 ] && [ "$age_ms" -le "$2" ]
}

# cli SECONDS HOST PORT WORDS…: a client as the charm's user, in plain text or TLS as the node
# speaks. While that changes the node is asked first, without a password.
cli() {
    limit=$1 node=$2 node_port=$3
    shift 3
    speaks=$TLS
    if [ "$speaks" = either ]; then
        case "$(timeout 1 "$CLI" -h "$node" -p "$node_port" PING 2>&1)" in
            *NOAUTH* | PONG) speaks=plain ;;
            *) speaks=tls ;;
        esac
    fi
    [ "$speaks" = tls ] && set -- --tls --cacert "$CA_FILE" "$@"
    REDISCLI_AUTH=$OPERATOR_PASSWORD timeout "$limit" \
        "$CLI" --no-auth-warning --user operator -h "$node" -p "$node_port" "$@"
}

# at HOST PORT WORDS…: ask one node, for a second or $patience_s at most; nothing is no answer. Without
# words the commands are read, one a line.
at() {
    settings
    cli "${patience_s:-$ANSWER_S}" "$@" 2>/dev/null | tr -d '\r'
}

# own WORDS…: ask the Redis of this pod.
own() { at 127.0.0.1 "$REDIS_PORT" "$@"; }

# has_role ROLE: the Redis of this pod is "master" or "slave".
has_role() { [ "$(own ROLE | head -n 1)" = "$1" ]; }

# set_priority HOST VALUE: whether its Redis may be promoted: $ELIGIBLE or $NOT_ELIGIBLE. Who may say
# so is in docs/explanation/who-sets-what.md. True when it is set.
set_priority() { [ "$(at "$1" "$REDIS_PORT" CONFIG SET replica-priority "$2")" = OK ]; }

# set_write_guard NUMBER: how many replicas the Redis of this pod must see as a primary, to take a
# write; see the same page. True when it is set.
set_write_guard() { [ "$(own CONFIG SET min-replicas-to-write "$1")" = OK ]; }

# is_claimed HOST: somebody moves the primary's role away from its Redis, and has not died over
# that: his connection would last for minutes. No answer counts as yes.
is_claimed() {
    [ "$(at "$1" "$REDIS_PORT" PUBSUB NUMSUB "$HANDOVER_CHANNEL" | tail -n 1)" != 0 ] &&
        at "$1" "$REDIS_PORT" CLIENT LIST TYPE pubsub |
        awk -v limit="$CLAIM_LIMIT_S" '
            /^id=/ { answered = 1 }
            / user=operator / { split($0, parts, " age="); if (parts[2] + 0 <= limit) claimed = 1 }
            END { exit answered && !claimed }'
}

# ask_sentinels HOST…: what the Sentinels of these hosts say, asked all at once. One line for each
# that answers in full, and one for each replica that it knows:
#
#   sentinel ASKED ADVERTISED RECORDED FLAGS EPOCH PONG_AGE_MS QUORUM REPLICAS OTHERS
#   replica ASKED HOST PRIORITY FLAGS INFO_AGE_MS LINK
#
# ADVERTISED is the primary that it gives out, RECORDED the one that the rest of its line is about; they
# differ while it fails over. PONG_AGE_MS: since that one answered it. REPLICAS, OTHERS: how many
# replicas and other Sentinels it knows. Each reply is followed by a PONG: one that comes up between two
# questions has not answered. To be called in a shell of its own, as in $(ask_sentinels …).
ask_sentinels() {
    for asked; do
        printf '%s\nPING\n' "SENTINEL GET-MASTER-ADDR-BY-NAME $MASTER_NAME" \
            "SENTINEL MASTER $MASTER_NAME" "SENTINEL REPLICAS $MASTER_NAME" |
            at "$asked" "$SENTINEL_PORT" |
            awk -v asked="$asked" '
                function end_of_part() {
                    if (part == 1)
                        lines = value["ip"] == "" ? "" : \
                            "sentinel " asked " " advertised " " value["ip"] " " value["flags"] " " \
                            value["config-epoch"] " " value["last-ok-ping-reply"] " " \
                            value["quorum"] " " value["num-slaves"] " " value["num-other-sentinels"]
                    if (part == 2 && value["ip"] != "")
                        lines = lines "\nreplica " asked " " value["ip"] " " \
                            value["slave-priority"] " " value["flags"] " " \
                            value["info-refresh"] " " value["master-link-status"]
                    split("", value)
                }
                # Only a value may be empty, or say PONG.
                is_value { value[key] = $0; is_value = 0; next }
                $0 == "PONG" { end_of_part(); part++; next }
                $0 == "" { next }
                part == 0 { if (++count == 1) advertised = $0; else port = $0; next }
                part == 2 && $0 == "name" { end_of_part() }
                { key = $0; is_value = 1 }
                END { if (part == 3 && count == 2 && port ~ /^[0-9]+$/ && lines != "") print lines }
            ' &
    done
    wait
}
