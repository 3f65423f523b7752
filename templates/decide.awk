# What the guarded start does: what the Sentinels say in, as ask_sentinels of lib.sh prints it; out, one
# decision, and on a second line how many Sentinels answered and whether one has noticed: "3 yes".
#
#   follow HOST            become a replica of that one
#   primary plain REASON   become primary
#   primary fenced REASON  the same, and take no write yet
#   ask-failover HOST…     have the first of these Sentinels that can promote a replica
#   wait REASON            ask again
#
# Variables:
#   host        of this node
#   peers       the planned hosts, this one too; any other that was asked is of a unit that leaves
#   data        none, snapshot (there is nothing else) or log (an append-only file)
#   permit      yes: the charm lets this node be primary without data
#   noticed_ms  for how long some Sentinel has taken this node for down, one after the other; empty:
#               none did before
#   limit_ms    for how long that counts
#   asked_ms    since a Sentinel was asked to fail over, below again_ms for a while; empty: never
#   again_ms    after which another may be asked

function rule(facts, decision,    count, i, names) {
    if (decided != "") return
    count = split(facts, names, " ")
    for (i = 1; i <= count; i++) if (!(names[i] in is)) return
    decided = decision
}

function fact(name, holds) { if (holds) is[name] }

BEGIN {
    count = split(peers, list, " ")
    for (i = 1; i <= count; i++) planned[list[i]]
}

# A Sentinel that fails over gives out the new primary before it records it. One of a unit that
# leaves may do so as well, but it has no voice in who is primary.
$1 == "sentinel" && ($2 in planned) {
    votes[$3]++
    epoch[$2] = $6
    if ($6 + 0 > stays) stays = $6 + 0
}
$1 == "sentinel" && !($2 in planned) && $6 + 0 > leaves { leaves = $6 + 0 }
$1 == "sentinel" { answered++ }
$1 == "sentinel" && $4 == host {
    if ($5 ~ /failover_in_progress/) switching = 1
    else if ($5 ~ /s_down/) noticed = 1
}
$1 == "replica" && $4 > 0 && $5 !~ /down|disconnected/ { replaceable = 1 }

END {
    for (each in votes) if (votes[each] > count / 2) primary = each
    # The Sentinels that know the latest failover. One that has lost its state counts from 0 again
    # until it hears the others, and a failover that it numbers so is taken back by them.
    for (i = 1; i <= count; i++)
        if (list[i] != host && (list[i] in epoch) && epoch[list[i]] + 0 == stays + 0)
            latest = latest " " list[i]

    fact("named", primary == host)
    fact("other", primary != "" && primary != host)
    fact("any", primary != "")
    # Those that stay have been down, and hear of it in a moment; the role may be with one that leaves.
    fact("outdated", leaves + 0 > stays + 0)
    fact("switching", switching)
    fact("noticed", noticed && noticed_ms + 0 <= limit_ms + 0)
    fact("replaceable", replaceable)
    fact("data", data != "none")
    fact("log", data == "log")
    fact("empty", data == "none")
    fact("alone", peers == host)
    fact("permit", permit == "yes")
    fact("askable", !noticed && latest != "" && (asked_ms == "" || asked_ms + 0 >= again_ms + 0))

    back = "named by a majority, with its data"
    # The first whose facts all hold.
    rule("any outdated", "wait a unit that leaves knows of a later failover")
    rule("other", "follow " primary)
    rule("named switching", "wait a failover from this node is under way")
    # A primary that comes back in the middle of one that is about to begin would only be turned
    # again. With nobody fit to be promoted none comes, and this node is the one to go on.
    rule("named data noticed replaceable", "wait the Sentinels have noticed the absence of this node")
    # A Sentinel may count the silence of the Redis that was here before, and fail over from this
    # one while it serves. One that begins with a snapshot has not kept yet what it would take.
    rule("named log alone", "primary plain " back)
    rule("named data", "primary fenced " back)
    rule("permit empty", "primary plain the first of this application")
    rule("named empty askable", "ask-failover" latest)
    rule("named empty", "wait this node is empty and must not be primary")
    rule("", "wait no majority of the Sentinels names a primary")
    print decided
    print answered + 0, (noticed ? "yes" : "no")
}
