"""Why a validator does not vote, by a stable code, with the sentence that says what to do. A table; no behaviour.

Whatever the reason, the node goes on to follow, to serve and to answer: only its word is missing.
"""

from typing import Final

KEY_IN_USE: Final = "key_in_use"
OWN_VOTE_UNKNOWN: Final = "own_vote_unknown"
VOTE_LOG_MISSING: Final = "vote_log_missing"
VOTE_LOG_EMPTIED: Final = "vote_log_emptied"
VOTE_LOG_DAMAGED: Final = "vote_log_damaged"
EXEC_ROOT_DIVERGED: Final = "exec_root_diverged"
FINALIZATION_FORKS_CHAIN: Final = "finalization_forks_chain"
VALIDATORS_DIVERGED: Final = "validators_diverged"
RULES_DIVERGED: Final = "rules_diverged"
EPOCH_OUTLIVED: Final = "epoch_outlived"
RESTORED: Final = "restored_from_backup"
BEHIND_OWN_VOTES: Final = "behind_own_votes"

_ANOTHER_KEY: Final = "make another key (liushui keys seat-proof --new) and have the validators seat it"

SENTENCES: Final[dict[str, str]] = {
    KEY_IN_USE: "Another live process uses this node's key, and both have stopped voting: stop one of them for good."
    " The other votes again by itself once it has been linked to a quorum for a minute and nobody has met another.",
    OWN_VOTE_UNKNOWN: "Peers hold a vote of this validator's key that its vote log does not know: the key was used"
    f" elsewhere, or the disk was set back. It votes no more with this key: {_ANOTHER_KEY}.",
    VOTE_LOG_MISSING: "votes.wal existed and is gone: this node cannot know how it voted, and follows without voting:"
    f" {_ANOTHER_KEY}.",
    VOTE_LOG_EMPTIED: "votes.wal held votes and was empty: this node cannot know how it voted, and follows without"
    f" voting: {_ANOTHER_KEY}.",
    VOTE_LOG_DAMAGED: "votes.wal was damaged before its end and lies beside the new one: this node cannot know how it"
    f" voted, and follows without voting: {_ANOTHER_KEY}.",
    EXEC_ROOT_DIVERGED: "A quorum certified another state than this node computed: install the release that the others"
    " run, keep voting_stopped.json, delete ledger.sqlite* and start: it syncs anew, and votes again once it has come"
    " to the certified state.",
    VALIDATORS_DIVERGED: "A quorum certified other validators to come than this node computed from the same state:"
    " install the release that the others run, then remove voting_stopped.json and start.",
    RULES_DIVERGED: "A quorum certified other rules than this node's own state says are in force: install the release"
    " that the others run, then remove voting_stopped.json and start.",
    EPOCH_OUTLIVED: "A quorum finalised a block beyond the end of its epoch: it runs another release, or more"
    " validators than may fail have contradicted themselves. Keep this directory as it is and call the other members;"
    " remove voting_stopped.json once they agree.",
    RESTORED: "This node was restored from a backup, and its vote log may be older than its last votes. It follows"
    " without voting until blocks made ten minutes after the restore, and sixteen views beyond them, are final; then it"
    " votes again by itself. Whoever cannot wait: " + _ANOTHER_KEY + ".",
    BEHIND_OWN_VOTES: "The books were set back below what this validator has said. It follows without voting until it"
    " is past that, and then votes again by itself.",
    FINALIZATION_FORKS_CHAIN: "A quorum finalised a block that excludes one that was final here: more validators than"
    " may fail have contradicted themselves. Keep this directory as it is and call the other members; once they agree"
    " which block stands, delete ledger.sqlite* and start: it syncs anew, and votes again once it has come to the"
    " certified block; if they agree on the other one, remove voting_stopped.json.",
}


def describe_stop(code: str) -> str:
    """The sentence of a code; the code itself when nobody wrote one."""
    return SENTENCES.get(code, code)
